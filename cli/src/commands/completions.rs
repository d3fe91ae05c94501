//! `conclave completions`: a script that completes the command line in a shell.

use clap::CommandFactory as _;

use crate::args::{Arguments, CompletionsArgs};

pub(crate) fn run(args: &CompletionsArgs) -> u8 {
    let mut command = Arguments::command();
    clap_complete::generate(args.shell, &mut command, "conclave", &mut std::io::stdout());
    0
}
