//! Second lives: after some thousand steps everything is taken into a new cluster, by the machine and by the model, and goes on
//! there, first through its quiet time.

use conclave_machine::{Event, Machine, Outcome, Record, limits};
use conclave_model::{Generator, Model, Profile, Rng};

use crate::compare;

const CASES: u64 = 40;
const STEPS: usize = 1_500;

struct Life {
    machine: Machine,
    model: Model,
    generator: Generator,
}

impl Life {
    /// Goes on for so many steps; how many were granted something in the quiet time, and how many after it.
    fn live(&mut self, rng: &mut Rng, steps: usize) -> (u64, u64) {
        let (mut early, mut late) = (0, 0);
        for _ in 0..steps {
            let (context, command) = self.generator.command(rng.draw());
            let expected = self.model.apply(&context, &command);
            let mut events = Vec::new();
            let (_, outcome) = self.machine.apply(&context, command.clone(), &mut events);
            assert_eq!((&outcome, &events), (&expected.outcome, &expected.events), "{command:?}");
            let granted = |event: &&Event| matches!(event, Event::Granted { .. });
            let grants = u64::from(matches!(outcome, Outcome::Granted { .. }))
                + events.iter().filter(granted).count() as u64;
            match self.machine.quiet() {
                Some(_) => early += grants,
                None => late += grants,
            }
            self.generator.learn(&command, &outcome, &events);
        }
        (early, late)
    }

    fn compare(&self, rng: &mut Rng) {
        self.machine.check_invariants().expect("a state that a log leads to");
        compare::everything(&self.machine, &self.model, &self.generator, rng).expect("the same");
        let records: Vec<Record> = self.machine.records().collect();
        let restored = Machine::from_records(records).expect("a snapshot");
        assert_eq!(restored.digest(), self.machine.digest());
        assert_eq!(restored.quiet(), self.machine.quiet());
    }
}

#[test]
fn a_second_life_keeps_what_nobody_held_and_grants_nothing_before_its_quiet_time_is_over() {
    let (mut kept, mut ended, mut waited) = (0, 0, 0);
    for case in 0..CASES {
        let rng = &mut Rng::new(case);
        let profile = Profile::draw(rng);
        let generator = Generator::new(profile.clone());
        let mut life = Life { machine: Machine::new(), model: Model::new(), generator };
        life.live(rng, STEPS);
        assert_eq!(life.machine.belief_ms(), life.model.belief_ms());

        let quiet_ms = life.machine.belief_ms().max(1);
        let before = life.machine.records().next();
        let Some(Record::Header(before)) = before else { panic!("no header: {before:?}") };
        life.machine = life.machine.reborn(quiet_ms);
        life.model.be_reborn(quiet_ms);
        life.compare(rng);
        let counts = life.machine.counts();
        assert_eq!((counts.sessions, counts.holds, counts.waiters), (0, 0, 0));
        kept += counts.objects;
        let quiet = life.machine.quiet().expect("a quiet time");
        assert!(quiet.generation.get() > before.counter + limits::RESTORE_COUNTER_GAP);
        assert_eq!(quiet.after_ms, quiet_ms);

        // Nobody of the first life is there any more; what its clients would ask is asked by strangers.
        life.generator = Generator::new(profile);
        let (early, late) = life.live(rng, 200);
        assert_eq!((early, late), (0, 0), "case {case}: a grant in the quiet time");
        waited += life.machine.counts().waiters;
        life.compare(rng);
        life.generator.learn_timer(quiet);
        let (early, late) = life.live(rng, STEPS);
        assert_eq!(early, 0, "case {case}: a grant in the quiet time");
        ended += u64::from(late > 0);
        life.compare(rng);
    }
    // A run in which little happened proves little.
    assert!(kept > CASES / 2 && waited > CASES && ended > CASES / 2, "{kept} {waited} {ended}");
}

#[test]
fn a_second_life_without_a_quiet_time_grants_at_once() {
    let rng = &mut Rng::new(7);
    let generator = Generator::new(Profile::draw(rng));
    let mut life = Life { machine: Machine::new(), model: Model::new(), generator };
    life.live(rng, STEPS);
    life.machine = life.machine.reborn(0);
    life.model.be_reborn(0);
    assert_eq!(life.machine.quiet(), None);
    life.compare(rng);
    let (_, late) = life.live(rng, STEPS);
    assert!(late > 10, "{late} grants");
    life.compare(rng);
}
