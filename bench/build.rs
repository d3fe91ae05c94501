//! Compiles the little that is needed of etcd's API, and our own as a client in another language would, with protox, so that no
//! system protoc is needed.

fn main() -> Result<(), Box<dyn std::error::Error>> {
    println!("cargo:rerun-if-changed=proto");
    println!("cargo:rerun-if-changed=../proto/proto/conclave/v1");
    let files = ["etcd.proto", "etcd_lock.proto", "conclave/v1/session.proto"];
    let descriptors = protox::compile(files, ["proto", "../proto/proto"])?;
    tonic_prost_build::configure().build_server(false).compile_fds(descriptors)?;
    Ok(())
}
