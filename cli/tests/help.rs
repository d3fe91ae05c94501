//! Help texts and messages that need no cluster, word for word: what people read is reviewed like code.

#[test]
fn completions_know_the_commands() {
    for shell in ["bash", "zsh", "fish"] {
        let output = std::process::Command::new(env!("CARGO_BIN_EXE_conclave"))
            .args(["completions", shell])
            .output()
            .expect("conclave runs");
        let script = String::from_utf8_lossy(&output.stdout);
        for word in ["rwlock", "force-release", "retention", "observe"] {
            assert!(script.contains(word), "{shell} does not know {word}");
        }
    }
}

#[test]
fn help_and_messages_are_as_written_down() {
    trycmd::TestCases::new().case("tests/cmd/*.trycmd");
}
