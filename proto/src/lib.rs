//! The wire: `conclave.v1` for clients, `conclave.internal.v1` for peers. Generated code only, no logic.

/// What clients speak.
#[expect(clippy::all, unused_qualifications, reason = "generated")]
pub mod v1 {
    tonic::include_proto!("conclave.v1");
}

/// What the nodes of one cluster speak and keep.
pub mod internal {
    #[expect(clippy::all, unused_qualifications, reason = "generated")]
    pub mod v1 {
        tonic::include_proto!("conclave.internal.v1");
    }
}

/// The encoded descriptors of every package, for reflection.
pub const DESCRIPTORS: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/conclave_descriptor.bin"));
