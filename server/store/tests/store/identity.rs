//! The identity file: what is saved is loaded, and every damage has a name.

use conclave_store::{DataDir, DataDirError, Identity, IdentityError};

fn some_identity() -> Identity {
    Identity { name: "a=1".to_owned(), node_id: 7, cluster_id: Some(0xfeed_0000_0000_0001) }
}

#[test]
fn saved_is_loaded() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("identity");
    for cluster_id in [None, Some(0), Some(u128::MAX)] {
        let identity = Identity { cluster_id, ..some_identity() };
        identity.save(&path).unwrap();
        assert_eq!(Identity::load(&path).unwrap(), identity);
    }
}

#[test]
fn missing_is_told_apart_from_damaged() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("identity");
    assert!(matches!(Identity::load(&path), Err(IdentityError::Missing { .. })));
    std::fs::write(&path, b"").unwrap();
    assert!(matches!(Identity::load(&path), Err(IdentityError::Corrupt { .. })));
}

#[test]
fn every_flipped_bit_and_every_cut_is_noticed() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("identity");
    some_identity().save(&path).unwrap();
    let good = std::fs::read(&path).unwrap();
    for at in 0..good.len() {
        for bit in 0..8 {
            let mut bad = good.clone();
            bad[at] ^= 1 << bit;
            std::fs::write(&path, &bad).unwrap();
            let loaded = Identity::load(&path);
            assert!(
                matches!(loaded, Err(IdentityError::Corrupt { .. })),
                "byte {at} bit {bit}: {loaded:?}"
            );
        }
        std::fs::write(&path, &good[..at]).unwrap();
        assert!(matches!(Identity::load(&path), Err(IdentityError::Corrupt { .. })), "cut at {at}");
    }
}

#[test]
fn another_format_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("identity");
    // The bytes of a file whose only difference is the format, its checksum included.
    std::fs::write(&path, "format=2\nname=a\nnode=1\ncluster=unformed\nchecksum=b4bac44b\n")
        .unwrap();
    let error = Identity::load(&path).unwrap_err();
    assert!(matches!(error, IdentityError::OtherVersion { found: 2, .. }), "{error}");
}

#[test]
fn bytes_of_format_1_are_golden() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("identity");
    let identity = Identity { name: "a".to_owned(), node_id: 1, cluster_id: None };
    identity.save(&path).unwrap();
    let text = std::fs::read_to_string(&path).unwrap();
    assert_eq!(text, "format=1\nname=a\nnode=1\ncluster=unformed\nchecksum=efad755e\n");
}

#[test]
fn names_that_would_break_a_line_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    for name in ["", "a\nnode=9", "a\0"] {
        let identity = Identity { name: name.to_owned(), ..some_identity() };
        let error = identity.save(&dir.path().join("identity")).unwrap_err();
        assert!(matches!(error, IdentityError::BadName { .. }), "{error}");
    }
}

#[test]
fn a_data_directory_has_one_user() {
    let parent = tempfile::tempdir().unwrap();
    let path = parent.path().join("deep/data");
    let first = DataDir::open(&path).unwrap();
    let error = DataDir::open(&path).unwrap_err();
    assert!(matches!(error, DataDirError::Locked { .. }));
    assert!(error.to_string().contains("in use by another process"), "{error}");
    drop(first);
    DataDir::open(&path).unwrap();
}
