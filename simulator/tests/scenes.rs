//! The scenes that do harm with a rule broken, played by the core as it is: a rule that is deleted from it shows here.

use simulator::{entries, play};

#[test]
fn no_scene_does_the_core_any_harm() {
    let mut played = 0;
    for entry in entries() {
        let Some(scene) = entry.scene().expect("a scene that can be read") else {
            continue;
        };
        let harm = play(&scene, None, None);
        assert!(
            harm.violation.is_none(),
            "the core breaks the rule that {} is about:\n{}",
            entry.name,
            harm.story.text()
        );
        played += 1;
    }
    assert!(played > 50, "only {played} scenes were found");
}
