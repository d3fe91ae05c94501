//! Configuration: which layer wins, and errors that say where the wrong thing was said.

use std::path::PathBuf;
use std::time::Duration;

use conclave_raft::Storage;
use conclave_server::{ConfigError, LogFormat, ServerConfig, Settings};

fn load(
    flags: &Settings,
    environment: &[(&str, &str)],
    file: Option<&str>,
) -> Result<ServerConfig, ConfigError> {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("conclave.toml");
    let path = file.map(|text| {
        std::fs::write(&path, text).expect("written");
        path
    });
    let environment = environment.iter().map(|(key, value)| (key.to_string(), value.to_string()));
    ServerConfig::from_layers(flags, environment, path.as_deref())
}

fn error(flags: &Settings, environment: &[(&str, &str)], file: Option<&str>) -> String {
    load(flags, environment, file).expect_err("refused").to_string()
}

fn none() -> Settings {
    Settings::default()
}

#[test]
fn without_a_word_it_is_one_node_on_loopback() {
    let config = load(&none(), &[], None).expect("the defaults");
    assert_eq!(
        (config.listen.as_str(), config.peer_listen.as_str()),
        ("127.0.0.1:7420", "127.0.0.1:7421")
    );
    assert_eq!(config.storage, Storage::Directory(PathBuf::from("conclave-data")));
    assert!(config.cluster.is_empty() && !config.insecure);
    // Eight times the largest election timeout.
    assert_eq!(config.ttl_floor, Duration::from_millis(4800));
}

#[test]
fn flags_win_over_the_environment_and_that_over_the_file() {
    let file = "listen = '127.0.0.1:1'\npeer_listen = '127.0.0.1:2'\nadvertise = 'h:3'\nlog_format = 'json'";
    let environment = [("CONCLAVE_LISTEN", "127.0.0.1:4"), ("CONCLAVE_PEER_LISTEN", "127.0.0.1:5")];
    let flags = Settings { listen: Some("127.0.0.1:6".to_owned()), ..none() };
    let config = load(&flags, &environment, Some(file)).expect("layers");
    assert_eq!(config.listen, "127.0.0.1:6");
    assert_eq!(config.peer_listen, "127.0.0.1:5");
    assert_eq!(config.advertise.as_deref(), Some("h:3"));
    assert_eq!(config.log_format, LogFormat::Json);
}

#[test]
fn values_of_the_environment_are_texts_even_when_they_look_like_numbers() {
    let environment = [
        ("CONCLAVE_NODE_NAME", "1.10"),
        ("CONCLAVE_CLUSTER_TOKEN", "007"),
        ("CONCLAVE_EPHEMERAL", "1"),
        ("CONCLAVE_INSECURE", "false"),
        // What `conclave lock` tells its child, and what is not ours.
        ("CONCLAVE_NAME", "nightly"),
        ("CONCLAVE_TOKEN", "3"),
        ("CONCLAVE_ENDPOINTS", "x:1"),
        ("LISTEN", "nowhere"),
    ];
    let config = load(&none(), &environment, None).expect("texts");
    assert_eq!((config.name.as_str(), config.cluster_token.as_str()), ("1.10", "007"));
    assert_eq!(config.storage, Storage::Ephemeral);
    assert!(!config.insecure);
    let text = error(&none(), &[("CONCLAVE_INSECURE", "maybe")], None);
    assert!(text.contains("CONCLAVE_INSECURE") && text.contains("maybe"), "{text}");
}

#[test]
fn what_a_file_says_wrong_is_named_with_the_file() {
    let text = error(&none(), &[], Some("lissten = '127.0.0.1:1'"));
    assert!(text.contains("lissten") && text.contains("conclave.toml"), "{text}");
    let text = error(&none(), &[], Some("listen = 7420"));
    assert!(text.contains("listen") && text.contains("conclave.toml"), "{text}");
    let text = error(&none(), &[], Some("listen = "));
    assert!(text.contains("TOML") || text.contains("toml"), "{text}");
    let text = error(&none(), &[], Some("heartbeat = 'soon'"));
    assert!(text.contains("heartbeat") && text.contains("conclave.toml"), "{text}");
    let missing = ServerConfig::from_layers(&none(), [], Some(std::path::Path::new("/not/there")));
    assert!(missing.expect_err("no file").to_string().contains("/not/there"));
}

#[test]
fn what_is_wrong_says_where_it_was_said() {
    let text = error(&Settings { listen: Some("7420".to_owned()), ..none() }, &[], None);
    assert!(text.contains("listen (in the command line)") && text.contains("HOST:PORT"), "{text}");
    let text = error(&none(), &[("CONCLAVE_LISTEN", "::1:7420")], None);
    assert!(text.contains("environment") && text.contains("::1:7420"), "{text}");
    load(&none(), &[("CONCLAVE_LISTEN", "[::1]:7420")], None).expect("in brackets");
}

#[test]
fn the_list_of_the_cluster_holds_this_node_once() {
    let cluster = |text: &str, name: Option<&str>| Settings {
        cluster: Some(text.to_owned()),
        name: name.map(str::to_owned),
        ..none()
    };
    let config = load(&cluster("a=h:1, b=h:2,c=h:3", Some("b")), &[], None).expect("three");
    let names: Vec<_> = config.cluster.iter().map(|member| member.name.as_str()).collect();
    assert_eq!(names, ["a", "b", "c"]);
    assert_eq!(config.cluster[1].peer_address, "h:2");
    for (list, name, says) in [
        ("a=h:1,b=h:2", None, "which one"),
        ("a=h:1,b=h:2", Some("x"), "\"x\" is not in the list"),
        ("a=h:1,a=h:2", Some("a"), "twice"),
        ("a,b=h:2", Some("b"), "NAME=HOST:PORT"),
        ("a=h,b=h:2", Some("b"), "HOST:PORT"),
        ("a=h:1,=h:2", Some("a"), "empty"),
    ] {
        let text = error(&cluster(list, name), &[], None);
        assert!(text.contains(says), "{list}: {text}");
    }
}

#[test]
fn times_fit_together() {
    let times = |heartbeat: &str, min: &str, max: &str| Settings {
        heartbeat: Some(heartbeat.to_owned()),
        election_min: Some(min.to_owned()),
        election_max: Some(max.to_owned()),
        ..none()
    };
    let config = load(&times("50ms", "200ms", "1s"), &[], None).expect("they fit");
    assert_eq!(config.ttl_floor, Duration::from_secs(8));
    for (settings, field) in [
        (times("300ms", "300ms", "600ms"), "heartbeat"),
        (times("100ms", "600ms", "600ms"), "election_min"),
        (times("0s", "300ms", "600ms"), "heartbeat"),
        (times("100", "300ms", "600ms"), "heartbeat"),
        (Settings { ttl_floor: Some("11min".to_owned()), ..none() }, "ttl_floor"),
        (Settings { log_format: Some("xml".to_owned()), ..none() }, "log_format"),
    ] {
        let text = error(&settings, &[], None);
        assert!(text.starts_with(field), "{field}: {text}");
    }
}

#[test]
fn a_node_that_joins_needs_a_name_an_address_and_no_list() {
    let joins = [("CONCLAVE_JOIN", "a:7421, b:7421"), ("CONCLAVE_NODE_NAME", "d")];
    let config = load(&none(), &joins, None).expect("it joins");
    assert_eq!(config.join, ["a:7421", "b:7421"]);
    let text = error(&none(), &joins[..1], None);
    assert!(text.contains("which one is this"), "{text}");
    let text = error(&none(), &joins, Some("cluster = 'd=h:1'"));
    assert!(text.contains("not both") && text.contains("CONCLAVE_*"), "{text}");
    let text = error(&none(), &joins, Some("peer_listen = '0.0.0.0:7421'"));
    assert!(text.contains("peer_advertise"), "{text}");
    let file = "peer_listen = '0.0.0.0:7421'\npeer_advertise = 'd:7421'";
    load(&none(), &joins, Some(file)).expect("the others can dial it");
    let text = error(&none(), &[("CONCLAVE_JOIN", "nowhere"), joins[1]], None);
    assert!(text.contains("nowhere") && text.contains("HOST:PORT"), "{text}");
}
