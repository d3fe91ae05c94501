//! `conclave snapshot restore` and `conclave recover`: a new cluster with old state, made while no node runs.

use std::io::{self, IsTerminal as _, Write as _};
use std::path::Path;
use std::time::Duration;

use conclave_server::backup::{self, Begun, Finished, NewCluster, RebirthError, Survivor};
use serde::Serialize;

use super::backup::read;
use crate::args::{Global, NewClusterArgs, RecoverArgs, RestoreArgs};
use crate::failure::{Failure, code};
use crate::output::{self, Show, printable};

#[derive(Debug, Serialize)]
struct Shown {
    cluster_id: String,
    name: String,
    data_dir: String,
    /// Empty: that node alone.
    cluster: String,
    /// Zero: grants are made at once.
    quiet_ms: u64,
    revision: u64,
    objects: u64,
    sessions_ended: u64,
    holds_ended: u64,
    /// Where the old data is.
    #[serde(skip_serializing_if = "Option::is_none")]
    aside: Option<String>,
}

impl Shown {
    fn new(begun: &Begun, name: &str, dir: &Path, new: &NewClusterArgs) -> Self {
        Self {
            cluster_id: format!("{:032x}", begun.cluster_id),
            name: name.to_owned(),
            data_dir: dir.display().to_string(),
            cluster: new.cluster.clone().unwrap_or_default(),
            quiet_ms: begun.quiet_ms,
            revision: begun.revision,
            objects: begun.objects,
            sessions_ended: begun.sessions,
            holds_ended: begun.holds,
            aside: None,
        }
    }
}

impl Show for Shown {
    fn table(&self) -> String {
        let quiet = match self.quiet_ms {
            0 => "grants are made at once".to_owned(),
            ms => {
                let time = humantime::format_duration(Duration::from_millis(ms));
                format!("no grant in the first {time} of a leader")
            }
        };
        let (start, others) = match self.cluster.as_str() {
            "" => (String::new(), ""),
            list => (
                format!(" --cluster {}", printable(list)),
                "start the others with the same --cluster and empty data directories: they get the state from it\n",
            ),
        };
        let aside = self
            .aside
            .as_ref()
            .map_or_else(String::new, |aside| format!("the old data is in {}\n", printable(aside)));
        format!(
            "cluster {} begins with revision {}: {} objects kept, {} sessions and {} holds ended; {quiet}\n{aside}\
             start this node with: conclave server --name {} --data-dir {}{start}\n{others}",
            self.cluster_id,
            self.revision,
            self.objects,
            self.sessions_ended,
            self.holds_ended,
            printable(&self.name),
            printable(&self.data_dir),
        )
    }
}

/// An earlier recovery that is finished now.
#[derive(Debug, Serialize)]
struct Resumed {
    cluster_id: String,
    name: String,
    data_dir: String,
    aside: String,
}

impl Resumed {
    fn new(finished: &Finished, dir: &Path) -> Self {
        Self {
            cluster_id: finished.cluster_id.map(|id| format!("{id:032x}")).unwrap_or_default(),
            name: finished.name.clone(),
            data_dir: dir.display().to_string(),
            aside: finished.aside.display().to_string(),
        }
    }
}

impl Show for Resumed {
    fn table(&self) -> String {
        format!(
            "the recovery that broke off here is finished as it was begun: cluster {}\nthe old data is in {}\n\
             start this node with: conclave server --name {} --data-dir {}, and the --cluster that the recovery was given, if any\n",
            self.cluster_id,
            printable(&self.aside),
            printable(&self.name),
            printable(&self.data_dir),
        )
    }
}

/// Without a name: that of the first node of the list, which is the only one that can begin.
fn new_cluster(name: Option<&str>, args: &NewClusterArgs) -> Result<NewCluster, Failure> {
    let cluster = backup::cluster(args.cluster.as_deref().unwrap_or_default());
    let cluster =
        cluster.map_err(|error| Failure::new(code::USAGE, printable(&error.to_string()), ""))?;
    let name = name.or_else(|| cluster.iter().map(|member| member.name.as_str()).min());
    let name = name.unwrap_or_default().to_owned();
    Ok(NewCluster { name, cluster, now: args.now })
}

fn failure(error: &RebirthError) -> Failure {
    Failure::new(code::REFUSED, printable(&error.to_string()), "")
}

pub(crate) fn restore(global: &Global, args: &RestoreArgs) -> Result<u8, Failure> {
    let new = new_cluster(args.name.as_deref(), &args.new)?;
    let checked = read(&args.file)?;
    let begun = backup::restore(checked, &args.data_dir, &new).map_err(|error| failure(&error))?;
    output::print(global.output, &Shown::new(&begun, &new.name, &args.data_dir, &args.new))?;
    Ok(0)
}

pub(crate) fn recover(global: &Global, args: &RecoverArgs) -> Result<u8, Failure> {
    // Whatever is asked now, what was asked then is half done.
    let finished = backup::finish_recovery(&args.data_dir).map_err(|error| failure(&error))?;
    if let Some(finished) = finished {
        output::print(global.output, &Resumed::new(&finished, &args.data_dir))?;
        return Ok(0);
    }
    let survivor = Survivor::open(&args.data_dir).map_err(|error| failure(&error))?;
    let name = survivor.name().to_owned();
    let new = new_cluster(Some(&name), &args.new)?;
    if !args.yes {
        confirm(&survivor)?;
    }
    let (begun, aside) = survivor.begin_anew(&new).map_err(|error| failure(&error))?;
    let mut shown = Shown::new(&begun, &name, &args.data_dir, &args.new);
    shown.aside = Some(aside.display().to_string());
    output::print(global.output, &shown)?;
    Ok(0)
}

/// Says what may be lost, and asks.
fn confirm(survivor: &Survivor) -> Result<(), Failure> {
    let (term, index) = survivor.last();
    let counts = survivor.counts();
    let members: Vec<_> = survivor.members().iter().map(|name| printable(name)).collect();
    let name = printable(survivor.name());
    eprintln!(
        "The node {name} of the cluster {} ({}) has everything up to entry {index} of term {term}: {} objects, {} sessions, {} holds.\n\
         Whatever was acknowledged after that is lost. All sessions and holds end; values and limits stay.\n\
         If a majority of the nodes can come back with its data, stop here and start those instead: should they run beside the\n\
         new cluster, there are two clusters that both grant.",
        survivor.cluster_id().map(|id| format!("{id:032x}")).unwrap_or_default(),
        members.join(", "),
        counts.objects,
        counts.sessions,
        counts.holds,
    );
    let refused = |sentence: &str, advice: &str| Failure::new(code::REFUSED, sentence, advice);
    if !io::stdin().is_terminal() {
        return Err(refused("nobody is there to be asked; nothing was changed", "give --yes"));
    }
    eprint!("Begin a new cluster with it? Type the name of the node to go on: ");
    let _gone = io::stderr().flush();
    let mut answer = String::new();
    let read = io::stdin().read_line(&mut answer);
    match read {
        Ok(_) if answer.trim() == survivor.name() => Ok(()),
        Ok(_) | Err(_) => Err(refused("not confirmed; nothing was changed", "")),
    }
}
