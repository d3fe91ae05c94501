//! The decisions of the supervisor, told as short stories with a TTL of 9 s: jeopardy at 6 s, kill by 7.65 s, a grace
//! of 1.62 s.

use super::*;

const TTL: Duration = Duration::from_secs(9);

fn at(millis: u64) -> Boot {
    Boot::from_millis(100_000 + millis)
}

fn holding(sent: u64) -> View {
    View { sent: at(sent), standing: Standing::Holding }
}

fn revoked(sent: u64) -> View {
    View { sent: at(sent), standing: Standing::Revoked("force-released by ops".into()) }
}

fn ended(sent: u64) -> View {
    View { sent: at(sent), standing: Standing::Ended("the session expired".into()) }
}

fn supervisor() -> Supervisor {
    with(None, true)
}

fn with(kill_after: Option<u64>, continuable: bool) -> Supervisor {
    let kill_after = kill_after.map(Duration::from_millis);
    Supervisor::new(Rules { ttl: TTL, kill_after, continuable }, at(0))
}

fn signals(actions: &[Action]) -> Vec<Signal> {
    actions
        .iter()
        .filter_map(|action| match action {
            Action::Signal(signal) => Some(*signal),
            _ => None,
        })
        .collect()
}

const STOP_IT: [Signal; 2] = [Signal::SIGTERM, Signal::SIGCONT];
const KILL_IT: [Signal; 1] = [Signal::SIGKILL];
const GO_ON: [Signal; 1] = [Signal::SIGCONT];

#[test]
fn a_command_that_ends_in_time_gives_its_own_code() {
    let mut it = supervisor();
    assert_eq!(it.step(at(1), &holding(0), Input::Tick), vec![]);
    let _ = it.step(at(2_000), &holding(1_800), Input::Exited(7));
    assert_eq!(it.ending(), None, "the group may still have members");
    let _ = it.step(at(2_001), &holding(1_800), Input::Vanished);
    assert_eq!(it.ending(), Some(Ending { code: 7, vanished: true }));
}

#[test]
fn what_the_command_leaves_behind_is_stopped_before_the_lock_is_freed() {
    let mut it = supervisor();
    assert_eq!(signals(&it.step(at(100), &holding(0), Input::Exited(0))), STOP_IT);
    assert_eq!(it.next_at(), at(1_720));
    assert_eq!(signals(&it.step(at(1_719), &holding(1_700), Input::Tick)), []);
    assert_eq!(signals(&it.step(at(1_720), &holding(1_700), Input::Tick)), KILL_IT);
    let _ = it.step(at(1_730), &holding(1_700), Input::Vanished);
    assert_eq!(it.ending(), Some(Ending { code: 0, vanished: true }));
}

#[test]
fn what_cannot_be_killed_is_not_reported_as_stopped() {
    let mut it = supervisor();
    let _ = it.step(at(100), &holding(0), Input::Exited(0));
    let _ = it.step(at(1_720), &holding(1_700), Input::Tick);
    let _ = it.step(at(6_719), &holding(6_700), Input::Tick);
    assert_eq!(it.ending(), None);
    let _ = it.step(at(6_720), &holding(6_700), Input::Tick);
    assert_eq!(it.ending(), Some(Ending { code: 0, vanished: false }));
}

#[test]
fn renewals_keep_it_running_forever() {
    let mut it = supervisor();
    for second in 0..1_000 {
        let now = at(second * 1_000 + 900);
        assert_eq!(it.step(now, &holding(second * 1_000), Input::Tick), vec![], "{second}");
    }
}

#[test]
fn a_reconnect_shorter_than_two_thirds_of_the_ttl_stops_nobody() {
    let mut it = supervisor();
    assert_eq!(it.next_at(), at(6_000));
    assert_eq!(it.step(at(5_999), &holding(0), Input::Tick), vec![]);
    assert_eq!(it.step(at(6_001), &holding(5_990), Input::Tick), vec![]);
    assert_eq!(it.next_at(), at(11_990));
}

#[test]
fn term_at_jeopardy_and_kill_before_the_local_deadline() {
    let mut it = supervisor();
    let actions = it.step(at(6_000), &holding(0), Input::Tick);
    assert_eq!(
        actions,
        vec![
            Action::Say(Loss::Jeopardy),
            Action::RunOnLost(Loss::Jeopardy),
            Action::Signal(Signal::SIGTERM),
            Action::Signal(Signal::SIGCONT),
        ]
    );
    assert_eq!(it.next_at(), at(7_620));
    assert_eq!(it.step(at(7_619), &holding(0), Input::Tick), vec![]);
    assert_eq!(it.step(at(7_620), &holding(0), Input::Tick), vec![Action::Signal(Signal::SIGKILL)]);
    let _ = it.step(at(7_621), &holding(0), Input::Exited(137));
    let _ = it.step(at(7_622), &holding(0), Input::Vanished);
    assert_eq!(it.ending(), Some(Ending { code: EXIT_LOST, vanished: true }));
}

#[test]
fn a_late_look_at_jeopardy_moves_no_kill_behind_85_hundredths() {
    let mut it = supervisor();
    assert_eq!(signals(&it.step(at(7_000), &holding(0), Input::Tick)), STOP_IT);
    assert_eq!(it.next_at(), at(7_650));
    assert_eq!(signals(&it.step(at(7_650), &holding(0), Input::Tick)), KILL_IT);
}

#[test]
fn past_the_deadline_there_is_only_kill() {
    let mut it = supervisor();
    let actions = it.step(at(7_650), &holding(0), Input::Tick);
    assert_eq!(signals(&actions), KILL_IT);
    assert!(actions.contains(&Action::RunOnLost(Loss::Jeopardy)));
}

#[test]
fn a_shorter_kill_after_is_kept() {
    let mut it = with(Some(500), true);
    let _ = it.step(at(6_000), &holding(0), Input::Tick);
    assert_eq!(signals(&it.step(at(6_500), &holding(0), Input::Tick)), KILL_IT);
}

#[test]
fn a_stop_once_ordered_goes_through_even_if_the_cluster_comes_back() {
    let mut it = supervisor();
    let _ = it.step(at(6_000), &holding(0), Input::Tick);
    assert_eq!(it.step(at(6_500), &holding(6_400), Input::Tick), vec![]);
    assert_eq!(signals(&it.step(at(7_620), &holding(7_600), Input::Tick)), KILL_IT);
    let _ = it.step(at(7_630), &holding(7_600), Input::Exited(137));
    let _ = it.step(at(7_631), &holding(7_600), Input::Vanished);
    assert_eq!(it.ending().map(|ending| ending.code), Some(EXIT_LOST));
}

#[test]
fn a_revoked_hold_is_termed_at_once_and_killed_after_the_grace() {
    let mut it = supervisor();
    let _ = it.step(at(1_900), &holding(1_800), Input::Tick);
    assert_eq!(signals(&it.step(at(2_000), &revoked(1_800), Input::Tick)), STOP_IT);
    assert_eq!(signals(&it.step(at(3_619), &revoked(1_800), Input::Tick)), []);
    assert_eq!(signals(&it.step(at(3_620), &revoked(1_800), Input::Tick)), KILL_IT);
}

#[test]
fn an_acknowledgement_that_carries_the_loss_moves_no_deadline() {
    let mut it = supervisor();
    // Sent at 0 without a loss; the next one, sent at 5,900, brings the loss.
    assert_eq!(signals(&it.step(at(6_500), &revoked(5_900), Input::Tick)), STOP_IT);
    assert_eq!(it.next_at(), at(7_650), "0.85 TTL after the send of 0, not 0.18 TTL from now");
    assert_eq!(signals(&it.step(at(7_650), &revoked(5_900), Input::Tick)), KILL_IT);
}

#[test]
fn an_ended_session_is_killed_at_once() {
    let mut it = supervisor();
    let actions = it.step(at(1_000), &ended(900), Input::Tick);
    assert_eq!(signals(&actions), KILL_IT);
    assert!(actions.contains(&Action::RunOnLost(Loss::Ended("the session expired".into()))));
    assert_eq!(signals(&it.step(at(1_010), &ended(900), Input::Tick)), [], "once");
}

#[test]
fn on_lost_runs_once() {
    let mut it = supervisor();
    let mut actions = it.step(at(6_000), &holding(0), Input::Tick);
    actions.extend(it.step(at(6_100), &revoked(6_050), Input::Tick));
    actions.extend(it.step(at(6_200), &ended(6_050), Input::Tick));
    let runs = actions.iter().filter(|action| matches!(action, Action::RunOnLost(_))).count();
    assert_eq!(runs, 1);
}

#[test]
fn a_loss_after_the_end_changes_no_code() {
    let mut it = supervisor();
    let _ = it.step(at(100), &holding(0), Input::Exited(0));
    let actions = it.step(at(200), &revoked(150), Input::Tick);
    assert!(!actions.iter().any(|action| matches!(action, Action::RunOnLost(_))));
    let _ = it.step(at(201), &revoked(150), Input::Vanished);
    assert_eq!(it.ending(), Some(Ending { code: 0, vanished: true }));
}

#[test]
fn asked_to_end_it_passes_the_signal_on_and_kills_only_when_told_to() {
    let mut it = supervisor();
    let term = Input::Asked(Signal::SIGTERM);
    assert_eq!(signals(&it.step(at(100), &holding(0), term)), STOP_IT);
    assert_eq!(signals(&it.step(at(5_000), &holding(4_900), Input::Tick)), []);
    let mut it = with(Some(1_000), true);
    assert_eq!(signals(&it.step(at(100), &holding(0), term)), STOP_IT);
    assert_eq!(signals(&it.step(at(1_100), &holding(900), Input::Tick)), KILL_IT);
    let _ = it.step(at(1_101), &holding(900), Input::Exited(137));
    let _ = it.step(at(1_102), &holding(900), Input::Vanished);
    assert_eq!(it.ending().map(|ending| ending.code), Some(137), "stopped, but not lost");
}

#[test]
fn ctrl_z_stops_the_group_before_conclave() {
    let mut it = supervisor();
    assert_eq!(
        it.step(at(100), &holding(0), Input::Suspend),
        vec![
            Action::Signal(Signal::SIGSTOP),
            Action::TakeTerminal,
            Action::StopSelf(Reach::Process)
        ]
    );
    assert_eq!(it.step(at(101), &holding(0), Input::Suspend), vec![], "once");
}

#[test]
fn continued_in_time_the_group_goes_on() {
    let mut it = supervisor();
    let _ = it.step(at(100), &holding(0), Input::Suspend);
    let actions = it.step(at(5_000), &holding(0), Input::Continued);
    assert_eq!(actions, vec![Action::GiveTerminal, Action::Signal(Signal::SIGCONT)]);
}

#[test]
fn continued_past_the_deadline_it_is_killed_without_having_run() {
    for input in [Input::Continued, Input::Tick] {
        let mut it = supervisor();
        let _ = it.step(at(100), &holding(0), Input::Suspend);
        assert_eq!(signals(&it.step(at(7_650), &holding(0), input)), KILL_IT, "{input:?}");
        assert_eq!(signals(&it.step(at(7_651), &holding(0), Input::Continued)), []);
        let _ = it.step(at(7_652), &holding(0), Input::Exited(137));
        let _ = it.step(at(7_653), &holding(0), Input::Vanished);
        assert_eq!(it.ending().map(|ending| ending.code), Some(EXIT_LOST));
    }
}

#[test]
fn continued_in_jeopardy_it_stands_still_until_the_cluster_answers() {
    let mut it = supervisor();
    let _ = it.step(at(100), &holding(0), Input::Suspend);
    assert_eq!(it.step(at(6_500), &holding(0), Input::Continued), vec![Action::SayThawing]);
    assert_eq!(it.step(at(6_600), &holding(0), Input::Tick), vec![]);
    assert_eq!(signals(&it.step(at(6_700), &holding(6_510), Input::Tick)), GO_ON);
    let mut it = supervisor();
    let _ = it.step(at(100), &holding(0), Input::Suspend);
    let _ = it.step(at(6_500), &holding(0), Input::Continued);
    assert_eq!(signals(&it.step(at(7_650), &holding(0), Input::Tick)), KILL_IT);
}

#[test]
fn revoked_while_suspended_it_is_told_when_continued() {
    let mut it = supervisor();
    let _ = it.step(at(100), &holding(0), Input::Suspend);
    assert_eq!(signals(&it.step(at(3_000), &revoked(2_990), Input::Continued)), STOP_IT);
    assert_eq!(signals(&it.step(at(4_620), &revoked(2_990), Input::Tick)), KILL_IT);
}

#[test]
fn a_command_that_asks_for_the_terminal_gets_it_from_the_foreground_only() {
    for signal in [Signal::SIGTTIN, Signal::SIGTTOU] {
        let mut it = supervisor();
        let asks = Input::Stopped(signal, Terminal::Ours);
        let given = vec![Action::GiveTerminal, Action::Signal(Signal::SIGCONT)];
        assert_eq!(it.step(at(10), &holding(0), asks), given);
        let asks = Input::Stopped(signal, Terminal::Others);
        let actions = it.step(at(20), &holding(0), asks);
        assert_eq!(actions.last(), Some(&Action::StopSelf(Reach::Job)), "waits for `fg`");
        assert_eq!(it.step(at(900), &holding(0), Input::Continued), given);
    }
}

#[test]
fn ctrl_z_in_the_command_stops_the_whole_job() {
    let mut it = supervisor();
    let stopped = Input::Stopped(Signal::SIGTSTP, Terminal::Command);
    let actions = it.step(at(10), &holding(0), stopped);
    assert_eq!(actions.last(), Some(&Action::StopSelf(Reach::Job)));
}

#[test]
fn where_nobody_could_continue_us_nothing_is_suspended() {
    let mut it = with(None, false);
    assert_eq!(it.step(at(10), &holding(0), Input::Suspend), vec![]);
    let stopped = Input::Stopped(Signal::SIGTSTP, Terminal::Command);
    assert_eq!(signals(&it.step(at(20), &holding(0), stopped)), GO_ON);
}

#[test]
fn a_command_held_still_by_somebody_keeps_its_lock_and_dies_like_any_other() {
    let mut it = supervisor();
    let stopped = Input::Stopped(Signal::SIGSTOP, Terminal::None);
    assert_eq!(it.step(at(10), &holding(0), stopped), vec![]);
    assert_eq!(signals(&it.step(at(6_000), &holding(0), Input::Tick)), STOP_IT);
    assert_eq!(signals(&it.step(at(7_650), &holding(0), Input::Tick)), KILL_IT);
}

#[test]
fn no_suspension_while_it_is_being_stopped() {
    let mut it = supervisor();
    let _ = it.step(at(6_000), &holding(0), Input::Tick);
    assert_eq!(it.step(at(6_010), &holding(0), Input::Suspend), vec![]);
    let stopped = Input::Stopped(Signal::SIGTSTP, Terminal::Command);
    assert_eq!(signals(&it.step(at(6_020), &holding(0), stopped)), GO_ON);
}

/// Whatever happens in whatever order: never alive and unkilled past 0.85 TTL of the last clean acknowledgement.
#[test]
fn nothing_outruns_the_deadline() {
    let inputs = [
        Input::Tick,
        Input::Suspend,
        Input::Continued,
        Input::Asked(Signal::SIGTERM),
        Input::Stopped(Signal::SIGTSTP, Terminal::Command),
        Input::Stopped(Signal::SIGTTIN, Terminal::Others),
    ];
    let views = [holding(0), revoked(0), revoked(3_000)];
    let scripts = inputs.len().pow(4);
    for script in 0..scripts * views.len() {
        let mut it = supervisor();
        let (view, mut rest) = (&views[script / scripts], script % scripts);
        let mut killed = false;
        for step in 1..=4_u64 {
            let input = inputs[rest % inputs.len()];
            rest /= inputs.len();
            let now = at(step * 1_900);
            let actions = it.step(now, if step < 3 { &views[0] } else { view }, input);
            killed |= signals(&actions) == KILL_IT;
            assert!(killed || now < it.next_at(), "a deadline lies behind");
        }
        let actions = it.step(at(7_650), view, Input::Tick);
        assert!(killed || signals(&actions) == KILL_IT, "script {script}");
    }
}

#[test]
fn nothing_is_started_once_the_grant_is_over() {
    let mut it = supervisor();
    assert_eq!(it.may_start(at(7_649), &holding(0)), Ok(()));
    assert_eq!(it.may_start(at(7_650), &holding(0)), Err(Loss::Jeopardy));
    assert_eq!(it.may_start(at(7_650), &holding(500)), Ok(()), "a newer sign of life counts");
    assert_eq!(it.start_by(), at(8_150), "and what the child itself looks at moves with it");
    let why = "force-released by ops".to_owned();
    assert_eq!(it.may_start(at(7_650), &revoked(500)), Err(Loss::Revoked(why)));
    let why = "the session expired".to_owned();
    assert_eq!(it.may_start(at(7_650), &ended(500)), Err(Loss::Ended(why)));
}

#[test]
fn what_hangs_in_the_kernel_after_its_kill_is_looked_at_now_and_then() {
    let mut it = supervisor();
    let _ = it.step(at(7_650), &holding(0), Input::Tick);
    for millis in [12_650, 20_000, 90_000] {
        assert_eq!(it.step(at(millis), &holding(0), Input::Tick), vec![]);
        assert!(it.next_at() <= at(millis), "by then only the kernel can bring news");
        assert_eq!(it.ending(), None);
    }
    let _ = it.step(at(90_100), &holding(0), Input::Exited(137));
    let _ = it.step(at(90_101), &holding(0), Input::Vanished);
    assert_eq!(it.ending(), Some(Ending { code: EXIT_LOST, vanished: true }));
}
