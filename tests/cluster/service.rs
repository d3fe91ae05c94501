//! A node under a service manager and a load balancer: it says that it is ready when it listens, with or without a leader,
//! and that it serves only while it hears one.

use std::net::TcpStream;
use std::os::unix::net::UnixDatagram;
use std::process::Command;
use std::time::Duration;

use conclave_tests::{Cluster, Seat, Signal, alone, conclave, eventually, together};

#[test]
fn the_service_manager_hears_ready_when_it_listens_and_stopping_when_it_stops() {
    let _turn = together();
    let folder = tempfile::TempDir::new().expect("a folder");
    let path = folder.path().join("notify");
    let manager = UnixDatagram::bind(&path).expect("a socket");
    manager.set_read_timeout(Some(Duration::from_secs(20))).expect("a limit");
    let heard = || {
        let mut said = [0; 4096];
        let length = manager.recv(&mut said).expect("it is told something");
        String::from_utf8_lossy(&said[..length]).into_owned()
    };
    let environment = vec![("NOTIFY_SOCKET".to_owned(), path.display().to_string())];
    // One of three, alone: there is no leader, and it is ready all the same.
    let seat = |_| Seat { environment: environment.clone(), ..Seat::default() };
    let mut cluster = Cluster::prepare(3, &[], &seat);
    cluster.restart(0);
    let said = heard();
    assert!(said.lines().any(|line| line == "READY=1"), "{said}");
    assert!(said.contains(&cluster.endpoint(0)), "{said}");
    TcpStream::connect(cluster.endpoint(0)).expect("it listens");
    assert!(cluster.status(0).expect("it answers").leader.is_none());

    cluster.signal(0, Signal::TERM);
    let said = heard();
    assert!(said.lines().any(|line| line == "STOPPING=1"), "{said}");
    assert_eq!(cluster.ended(0, Duration::from_secs(20)).0, 0);
}

#[test]
fn a_follower_that_hears_no_leader_is_not_ready_though_it_remembers_one() {
    let _turn = alone();
    let mut cluster = Cluster::start(3);
    let leader = cluster.leader();
    let [follower, other] = [(leader + 1) % 3, (leader + 2) % 3];
    let healthy = |cluster: &Cluster| {
        let endpoint = cluster.endpoint(follower);
        let output = Command::new(conclave()).args(["--endpoint", &endpoint, "health"]).output();
        output.expect("conclave runs").status.success()
    };
    assert!(healthy(&cluster));
    // Both at once, so that nobody can be elected: to the follower it looks as if it were cut off.
    cluster.signal(leader, Signal::STOP);
    cluster.signal(other, Signal::STOP);
    let patience = Duration::from_secs(20);
    eventually("it is not ready", patience, || (!healthy(&cluster)).then_some(()));
    cluster.signal(leader, Signal::CONT);
    cluster.signal(other, Signal::CONT);
    eventually("it is ready again", patience, || healthy(&cluster).then_some(()));
}
