//! `conclave dev` and `conclave server`: the daemon. `dev` says on its terminal where it listens and what to try.

use std::io::IsTerminal as _;
use std::path::{Path, PathBuf};

use conclave_server::{ExitReason, Ready, ServerConfig, ServerError, Settings};
use tokio::runtime::Builder;

use crate::args::{DEV_LISTEN, DevArgs, ServerArgs};
use crate::failure::{Failure, code};

pub(crate) fn dev(mut args: DevArgs) -> Result<u8, Failure> {
    if args.tuning.log_format.is_none() {
        // Of one node for development only what is wrong concerns the reader; the banner says the rest.
        args.tuning.log_format = Some("human".to_owned());
    }
    let data = (!args.ephemeral).then(|| args.data_dir.clone());
    serve(&args.into_settings(), None, |ready| print_banner(&banner(ready, data.as_deref())))
}

pub(crate) fn server(args: ServerArgs) -> Result<u8, Failure> {
    let file: Option<PathBuf> = args.config.clone();
    serve(&args.into_settings(), file.as_deref(), |_| {})
}

fn serve(
    settings: &Settings,
    file: Option<&Path>,
    on_ready: impl FnOnce(&Ready),
) -> Result<u8, Failure> {
    let config = ServerConfig::load(settings, file).map_err(|error| {
        Failure::new(code::USAGE, error.to_string(), "see `conclave server --help`")
    })?;
    conclave_server::telemetry::install(config.log_format);
    let runtime = Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::new(code::REFUSED, format!("no runtime: {error}"), ""))?;
    match runtime.block_on(conclave_server::run(config, on_ready)) {
        Ok(ExitReason::Terminated | ExitReason::Interrupted) => Ok(0),
        Err(error) => {
            // Whatever of a dead node still runs is not waited for.
            runtime.shutdown_background();
            Err(failure(&error))
        }
    }
}

fn failure(error: &ServerError) -> Failure {
    let code = if error.is_final() { code::USAGE } else { code::REFUSED };
    Failure::new(code, error.to_string(), error.advice())
}

/// Where everything is, and one line to paste.
fn banner(ready: &Ready, data: Option<&Path>) -> String {
    let client = ready.client;
    let data = data
        .map_or_else(|| "nowhere (--ephemeral)".to_owned(), |folder| folder.display().to_string());
    let endpoint = if client.to_string() == DEV_LISTEN {
        String::new()
    } else {
        format!(" --endpoint {client}")
    };
    format!(
        "\nconclave {} for development, process {}\n\n  \
           clients   {client}\n  \
           peers     {}\n  \
           ready     http://{client}/readyz\n  \
           metrics   http://{client}/metrics\n  \
           data      {data}\n\n\
         Try in two other shells, and stop this with Ctrl-C:\n\n  \
           conclave{endpoint} lock demo -- sleep 10\n\n",
        env!("CARGO_PKG_VERSION"),
        ready.pid,
        ready.peer,
    )
}

fn print_banner(text: &str) {
    use std::io::Write as _;
    let mut out = std::io::stdout();
    let bold = out.is_terminal() && std::env::var_os("NO_COLOR").is_none();
    let text = if bold {
        text.replacen("conclave ", "\x1b[1mconclave\x1b[0m ", 1)
    } else {
        text.to_owned()
    };
    // Nobody reads it when standard output is gone; the node serves all the same.
    let _gone = out.write_all(text.as_bytes()).and_then(|()| out.flush());
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ready(client: &str) -> Ready {
        Ready {
            client: client.parse().expect("an address"),
            peer: "127.0.0.1:7421".parse().expect("an address"),
            pid: 7,
        }
    }

    #[test]
    fn the_line_to_paste_works_as_it_stands() {
        let text = banner(&ready(DEV_LISTEN), None);
        assert!(text.contains("\n  conclave lock demo -- sleep 10\n"), "{text}");
        let text = banner(&ready("127.0.0.1:9999"), Some(Path::new("./conclave-data")));
        assert!(text.contains("conclave --endpoint 127.0.0.1:9999 lock demo"), "{text}");
        assert!(text.contains("data      ./conclave-data\n"), "{text}");
    }
}
