//! Writes the good bytes that the property tests begin with as the corpora of `cargo fuzz`:
//! `cargo run -p conclave-fuzzing --example corpus -- fuzz/corpus`.

use std::path::{Path, PathBuf};
use std::{env, fs, io};

use conclave_fuzzing::{join, log_payloads, snapshots, some_chunk, wire_messages};

fn main() -> io::Result<()> {
    let Some(to) = env::args_os().nth(1).map(PathBuf::from) else {
        return Err(io::Error::other("say where to write, as in `... -- fuzz/corpus`"));
    };
    write(&to.join("wire_edge"), wire_messages())?;
    // An even first byte: a payload; an odd one: a chunk.
    let payloads = (0..8).flat_map(log_payloads).map(|payload| [&[0], &payload[..]].concat());
    let scratch = tempfile::tempdir()?;
    let (chunk, _) = some_chunk(scratch.path(), 1);
    write(&to.join("log_records"), payloads.chain([[&[1], &chunk[..]].concat()]).collect())?;
    let snapshots = (0..12).map(|seed| join(&snapshots(seed)));
    write(&to.join("snapshot_reader"), snapshots.collect())
}

fn write(to: &Path, inputs: Vec<Vec<u8>>) -> io::Result<()> {
    fs::create_dir_all(to)?;
    let count = inputs.len();
    for (number, input) in inputs.into_iter().enumerate() {
        fs::write(to.join(format!("seed-{number:03}")), input)?;
    }
    println!("{count} inputs in {}", to.display());
    Ok(())
}
