//! Help texts and messages that need no cluster, word for word: what people read is reviewed like code.

#[test]
fn help_and_messages_are_as_written_down() {
    trycmd::TestCases::new().case("tests/cmd/*.trycmd");
}
