//! `conclave snapshot save` and `conclave backup check`: backups of a running cluster, and what is in them.

use std::fs::File;
use std::io::{self, BufWriter, IsTerminal as _, Write as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, UNIX_EPOCH};

use conclave_client::Error;
use conclave_server::backup::{BACKUP_FORMAT, BackupError, BackupInfo, CheckedBackup};
use serde::Serialize;

use super::connect;
use crate::args::{BackupArgs, BackupCommand, Global, SaveArgs};
use crate::failure::{Failure, code};
use crate::output::{self, Format, Show, printable};

/// A backup and what is in it.
#[derive(Debug, Serialize)]
struct Shown {
    file: String,
    bytes: u64,
    format: u32,
    program: String,
    cluster_id: String,
    revision: u64,
    term: u64,
    index: u64,
    taken: String,
    taken_unix_ms: u64,
    sessions: u64,
    objects: u64,
    holds: u64,
    waiters: u64,
}

impl Shown {
    fn new(file: &Path, bytes: u64, info: &BackupInfo) -> Self {
        let taken = UNIX_EPOCH + Duration::from_millis(info.taken_unix_ms);
        Self {
            file: file.display().to_string(),
            bytes,
            format: BACKUP_FORMAT,
            program: info.program.clone(),
            cluster_id: format!("{:032x}", info.cluster_id),
            revision: info.revision,
            term: info.term,
            index: info.index,
            taken: humantime::format_rfc3339_seconds(taken).to_string(),
            taken_unix_ms: info.taken_unix_ms,
            sessions: info.sessions,
            objects: info.objects,
            holds: info.holds,
            waiters: info.waiters,
        }
    }
}

impl Show for Shown {
    fn table(&self) -> String {
        format!(
            "file      {}\nbytes     {}, all of them checked\nformat    {}, by conclave {}\ntaken     {}\n\
             cluster   {}\nlog       everything up to entry {} of term {}, revision {}\n\
             objects   {}\nsessions  {}, with {} holds and {} waits\n",
            printable(&self.file),
            self.bytes,
            self.format,
            printable(&self.program),
            self.taken,
            self.cluster_id,
            self.index,
            self.term,
            self.revision,
            self.objects,
            self.sessions,
            self.holds,
            self.waiters,
        )
    }
}

pub(crate) fn run(global: &Global, args: &BackupArgs) -> Result<u8, Failure> {
    let BackupCommand::Check { file } = &args.what;
    let checked = read(file)?;
    let bytes = std::fs::metadata(file).map_err(|error| cannot("read", file, &error))?.len();
    output::print(global.output, &Shown::new(file, bytes, &checked.info))?;
    Ok(0)
}

/// A backup of which every byte was read.
pub(super) fn read(file: &Path) -> Result<CheckedBackup, Failure> {
    CheckedBackup::read(file).map_err(|error: BackupError| {
        Failure::new(code::REFUSED, printable(&error.to_string()), "")
    })
}

fn cannot(what: &str, file: &Path, error: &io::Error) -> Failure {
    let sentence = format!("cannot {what} {}: {error}", printable(&file.display().to_string()));
    Failure::new(code::REFUSED, sentence, "")
}

pub(crate) async fn save(global: &Global, args: &SaveArgs) -> Result<u8, Failure> {
    let file = &args.file;
    if !args.force && file.symlink_metadata().is_ok() {
        let sentence = format!("{} is there already", printable(&file.display().to_string()));
        return Err(Failure::new(code::REFUSED, sentence, "name another file, or give --force"));
    }
    let partial = Partial::beside(file)?;
    let bytes = fill(global, &partial).await?;
    // What was written is what is believed, not what was sent.
    let checked = read(&partial.path)?;
    partial.become_file(file)?;
    output::print(global.output, &Shown::new(file, bytes, &checked.info))?;
    Ok(0)
}

/// A file that is not called so yet. Removed when it never is: by this process, or, when that is killed, by the next one that
/// saves to the same name. It is locked as long as its process lives, whatever machine or container that is on.
struct Partial {
    path: PathBuf,
    file: File,
    done: bool,
}

impl Partial {
    fn beside(file: &Path) -> Result<Self, Failure> {
        let name = file.file_name().ok_or_else(|| {
            Failure::new(code::USAGE, format!("{} is no name of a file", file.display()), "")
        })?;
        let prefix = format!(".{}.partial-", name.to_string_lossy());
        remove_left_behind(folder_of(file), &prefix);
        let path = file.with_file_name(format!("{prefix}{}", std::process::id()));
        let made = File::options().write(true).create_new(true).open(&path);
        let made = made.map_err(|error| cannot("write", &path, &error))?;
        // Where the file system has no locks, nobody can take this one for left behind either.
        let _ = made.try_lock();
        Ok(Self { path, file: made, done: false })
    }

    fn become_file(mut self, file: &Path) -> Result<(), Failure> {
        std::fs::rename(&self.path, file).map_err(|error| cannot("write", file, &error))?;
        self.done = true;
        let folder = folder_of(file);
        let synced = File::open(folder).and_then(|folder| folder.sync_all());
        synced.map_err(|error| cannot("sync", folder, &error))
    }
}

fn folder_of(file: &Path) -> &Path {
    match file.parent() {
        Some(folder) if folder != Path::new("") => folder,
        Some(_) | None => Path::new("."),
    }
}

/// What processes left that were killed. Nobody holds their locks any more. Whatever cannot be removed does no harm.
fn remove_left_behind(folder: &Path, prefix: &str) {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    for entry in entries {
        let name = entry.file_name();
        let process = name.to_str().and_then(|name| name.strip_prefix(prefix));
        let is_one = process.is_some_and(|process| process.parse::<u32>().is_ok());
        let is_file = entry.file_type().is_ok_and(|kind| kind.is_file());
        if is_one && is_file && File::open(entry.path()).is_ok_and(|file| file.try_lock().is_ok()) {
            let _ = std::fs::remove_file(entry.path());
        }
    }
}

impl Drop for Partial {
    fn drop(&mut self) {
        if !self.done {
            // An error: somebody else did it.
            let _ = std::fs::remove_file(&self.path);
        }
    }
}

/// Takes the bytes from the cluster; durable when it returns.
async fn fill(global: &Global, partial: &Partial) -> Result<u64, Failure> {
    let write = |error: &io::Error| cannot("write", &partial.path, error);
    let broken = |error: &Error| {
        let failure = connect::failure(error);
        let sentence = format!("the backup broke off, nothing was kept: {}", failure.sentence);
        Failure::new(failure.code, sentence, "see `conclave status`, then save again")
    };
    let mut chunks = connect::client(global)?
        .admin()
        .save_snapshot()
        .await
        .map_err(|error| connect::failure(&error))?;
    let mut out = BufWriter::new(&partial.file);
    let mut progress = Progress::new(global.output);
    let mut bytes = 0;
    while let Some(chunk) = chunks.next().await.map_err(|error| broken(&error))? {
        out.write_all(&chunk).map_err(|error| write(&error))?;
        bytes += chunk.len() as u64;
        progress.say(bytes);
    }
    progress.done();
    out.flush().and_then(|()| out.get_ref().sync_all()).map_err(|error| write(&error))?;
    Ok(bytes)
}

/// Says on a terminal how far it is.
struct Progress {
    shown: bool,
    said: Instant,
}

impl Progress {
    fn new(format: Format) -> Self {
        let shown = format == Format::Table && io::stderr().is_terminal();
        Self { shown, said: Instant::now() }
    }

    fn say(&mut self, bytes: u64) {
        if self.shown && self.said.elapsed() > Duration::from_millis(200) {
            self.said = Instant::now();
            eprint!("\r\x1b[K{} MiB", bytes >> 20);
            let _gone = io::stderr().flush();
        }
    }

    fn done(&self) {
        if self.shown {
            eprint!("\r\x1b[K");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_killed_save_left_is_removed_by_the_next_one_and_nothing_else_is() {
        let folder = tempfile::tempdir().unwrap();
        let place = |name: &str| folder.path().join(name);
        let backup = place("backup");
        // Of two that were killed, one of them with the id that this process has: in a container it is often the same.
        let left =
            [".backup.partial-1".to_owned(), format!(".backup.partial-{}", std::process::id())];
        for name in &left {
            std::fs::write(place(name), "half").unwrap();
        }
        let others = [".other.partial-1", ".backup.partial-x", ".backup.partial-3", "backup"];
        for name in others {
            std::fs::write(place(name), "kept").unwrap();
        }
        // And of one that goes on.
        let living = File::open(place(".backup.partial-3")).unwrap();
        living.try_lock().unwrap();

        let partial = Partial::beside(&backup).unwrap();
        assert!(!place(&left[0]).exists());
        assert_eq!(std::fs::read(&partial.path).unwrap(), b"");
        for name in others {
            assert_eq!(std::fs::read(place(name)).unwrap(), b"kept", "{name}");
        }
        // It is not left behind as long as it is there.
        remove_left_behind(folder.path(), ".backup.partial-");
        assert!(partial.path.exists());
        let path = partial.path.clone();
        drop(partial);
        assert!(!path.exists());
    }
}
