//! The files of `deploy/` judged by the tools of those who read them.

use std::fs;
use std::path::Path;

use toml::{Table, Value};

use crate::tools::{SOON, has, must};
use crate::{Skipped, deploy, root};

/// systemd's own measure of what a service could do to its machine: 0 nothing, 100 everything.
const EXPOSURE_MAX: &str = "--threshold=15";
/// What the two ways to the image must agree on.
const OF_THE_IMAGE: [&str; 6] = ["USER", "ENV", "EXPOSE", "HEALTHCHECK", "ENTRYPOINT", "CMD"];

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn manifest(path: &str) -> Table {
    read(&root().join(path)).parse().unwrap_or_else(|error| panic!("{path}: {error}"))
}

pub(crate) fn unit() -> Result<(), Skipped> {
    if !has("systemd-analyze", &["--version"]) {
        return Err(Skipped("no systemd-analyze: the unit was not looked at".into()));
    }
    let unit = read(&deploy("systemd/conclave.service"));
    assert!(unit.contains("\nType=notify\n"), "ready when it listens, and not before");
    assert!(unit.contains("\nExecStart=/usr/bin/conclave server "), "the package puts it there");
    // What it starts need not be installed here; the name of the file is that of the unit.
    let folder = tempfile::TempDir::new().expect("a folder");
    let copy = folder.path().join("conclave.service");
    fs::write(&copy, unit.replace("/usr/bin/conclave", "/bin/true")).expect("a copy");
    let copy = copy.to_str().expect("a plain path");
    let analyze = Path::new("systemd-analyze");
    must(analyze, ["verify", "--man=no", copy], &[], SOON);
    must(analyze, ["security", "--no-pager", "--offline=true", EXPOSURE_MAX, copy], &[], SOON);
    Ok(())
}

pub(crate) fn kubernetes() -> Result<(), Skipped> {
    let folder = deploy("kubernetes");
    let set = read(&folder.join("statefulset.yaml"));
    let replicas: usize = value_of(&set, "replicas:").parse().expect("a number of replicas");
    assert_eq!(set.matches(".conclave-peers:7421").count(), replicas, "each replica is listed");
    for wanted in ["podManagementPolicy: Parallel", "serviceName: conclave-peers", "grpc:"] {
        assert!(set.contains(wanted), "{wanted}");
    }
    assert!(read(&folder.join("services.yaml")).contains("publishNotReadyAddresses: true"));
    if !has("kubernetes-validate", &["--version"]) {
        return Err(Skipped("no kubernetes-validate: the objects met no schema".into()));
    }
    if !has("kubectl", &["version", "--client"]) {
        return Err(Skipped(
            "no kubectl: what kustomize makes of the objects met no schema".into(),
        ));
    }
    let made = must(
        Path::new("kubectl"),
        ["kustomize", folder.to_str().expect("a plain path")],
        &[],
        SOON,
    );
    assert_eq!(made.matches("\nkind: ").count(), 5, "{made}");
    let file = tempfile::Builder::new().suffix(".yaml").tempfile().expect("a file");
    fs::write(file.path(), made).expect("written");
    let file = file.path().to_str().expect("a plain path");
    must(Path::new("kubernetes-validate"), ["--strict", file], &[], SOON);
    Ok(())
}

/// The rest of the first line that begins with this word.
fn value_of<'a>(text: &'a str, word: &str) -> &'a str {
    text.lines()
        .find_map(|line| line.trim().strip_prefix(word))
        .unwrap_or_else(|| panic!("{word}"))
        .trim()
}

pub(crate) fn debian() -> Result<(), Skipped> {
    let manifest = manifest("cli/Cargo.toml");
    let deb = &manifest["package"]["metadata"]["deb"];
    let text = |value: &Value| value.as_str().expect("a text").to_owned();
    let mut targets = Vec::new();
    for asset in deb["assets"].as_array().expect("a list of assets") {
        let (source, target) = (text(&asset[0]), text(&asset[1]));
        let built = source == "target/release/conclave";
        assert!(built || root().join("cli").join(&source).is_file(), "there is no {source}");
        targets.push(format!("/{target}"));
    }
    for file in deb["conf-files"].as_array().expect("a list of files") {
        assert!(targets.contains(&text(file)), "{file} is not in the package");
    }
    let units = text(&deb["systemd-units"]["unit-scripts"]);
    let unit = read(&root().join("cli").join(units).join("conclave.service"));
    for named in ["/etc/conclave/conclave.toml", "/etc/default/conclave"] {
        assert!(unit.contains(named) && targets.contains(&named.to_owned()), "{named}");
    }
    Ok(())
}

pub(crate) fn docker() -> Result<(), Skipped> {
    let of = |name: &str| -> Vec<String> {
        let text = read(&deploy(name));
        let (_, image) = text.rsplit_once("FROM scratch\n").expect("its last stage is empty");
        let said = |line: &&str| OF_THE_IMAGE.iter().any(|word| line.starts_with(word));
        image.lines().filter(said).map(str::to_owned).collect()
    };
    let whole = of("Dockerfile");
    assert_eq!(whole.len(), OF_THE_IMAGE.len(), "{whole:?}");
    assert_eq!(whole, of("Dockerfile.static"));
    let manifest = manifest("Cargo.toml");
    let rust = manifest["workspace"]["package"]["rust-version"].as_str().expect("a version");
    let from = format!("FROM rust:{rust}-");
    assert!(read(&deploy("Dockerfile")).contains(&from), "it builds with {from}..");
    Ok(())
}
