//! Witnesses that hang, fail, lie, or answer what is no answer.

use serde_json::json;

use super::{NAME, checkpoint, evidence, failures, log_key, text};
use crate::world::witness::{Manner, Witness};
use crate::world::{Setup, eventually};

#[tokio::test]
async fn one_that_does_not_sign_costs_nothing_but_its_own_task() {
    let honest = Witness::start(NAME, 1).await;
    let manners = [
        (Manner::Hangs, "no answer within 5 s"),
        (Manner::Says(500, "down".to_owned()), "it answers 500"),
        (Manner::Says(302, String::new()), "which is not followed"),
        (Manner::Says(200, "\u{2014} ".repeat(2 << 20)), "holds no signature"),
        (Manner::Forges, "by witness.bad/4 does not hold"),
        (Manner::OtherKey, "no key in evidence.witness_keys signed"),
    ];
    let mut bad = Vec::new();
    for (n, (manner, _why)) in manners.iter().enumerate() {
        let (name, byte) = (format!("witness.bad/{n}"), 20 + u8::try_from(n).unwrap());
        let witness = Witness::start(&name, byte).await;
        witness.behave(manner.clone());
        bad.push(witness);
    }
    let mut witnesses: Vec<&Witness> = bad.iter().collect();
    witnesses.push(&honest);
    let keys: Vec<&str> = witnesses.iter().map(|witness| witness.vkey.as_str()).collect();
    let world = Setup::new().config(&evidence(&witnesses, &keys)).start().await;
    let key = log_key(&world).await;
    for witness in &witnesses {
        witness.trust(&key);
    }
    for name in ["first", "second"] {
        world.update(&json!({ "name": name })).await;
    }
    let note = checkpoint(&world, 5, 1).await;
    // One that keeps who asks for five seconds is asked less often than one that answers.
    eventually("questions beside one that hangs", async || {
        (bad[0].left() > 0 && honest.asked().len() > bad[0].left() + 3).then_some(())
    })
    .await;
    assert!(note.contains(&format!("\u{2014} {NAME} ")), "{note}");
    // It did not know the log at first.
    let missed = failures(&world, &honest).await;
    for (witness, (manner, why)) in bad.iter().zip(&manners) {
        eventually(why, async || text(&world, "/log").await.contains(why).then_some(())).await;
        assert!(failures(&world, witness).await > 0, "{manner:?}");
    }
    assert_eq!(failures(&world, &honest).await, missed);
    // Whoever comes to their senses is heard again.
    bad[5].behave(Manner::Honest);
    checkpoint(&world, 5, 2).await;
}

#[tokio::test]
async fn garbage_and_lies_do_not_spoil_the_checkpoint_and_are_on_record_once() {
    let witness = Witness::start(NAME, 1).await;
    let world = Setup::new().config(&evidence(&[&witness], &[])).start().await;
    let spoil = "\u{2014} example.com/log AAAAAAAA\n\u{2014} example.com/log/clock AAAAAAAA\n";
    for (manner, why) in [
        (Manner::Says(200, spoil.to_owned()), "holds no signature"),
        (Manner::Says(200, "\u{0}\u{1}".repeat(999)), "holds no signature"),
        (Manner::Says(200, String::new()), "holds no signature"),
        (Manner::Says(409, "0\n".to_owned()), "contradicts itself"),
        (Manner::Says(409, "soon\n".to_owned()), "contradicts itself"),
        (Manner::Says(403, String::new()), "does not take this log, or its key"),
        (Manner::Says(400, String::new()), "takes the question for malformed"),
        (Manner::Says(503, String::new()), "it answers 503"),
        (Manner::Says(204, String::new()), "it answers 204"),
        (Manner::Says(409, "999999999999\n".to_owned()), "has seen 999999999999 records"),
    ] {
        witness.behave(manner.clone());
        eventually(why, async || text(&world, "/log").await.contains(why).then_some(())).await;
        let note = text(&world, "/api/v1/log/checkpoint").await;
        assert_eq!(note.matches('\u{2014}').count(), 2, "{manner:?}: {note}");
    }
    let told = world.events("witness", 1).await;
    witness.behave(Manner::Says(503, String::new()));
    eventually("another fault", async || {
        text(&world, "/log").await.contains("it answers 503").then_some(())
    })
    .await;
    witness.behave(Manner::Says(409, "888888888888\n".to_owned()));
    eventually("a lie", async || {
        text(&world, "/log").await.contains("has seen 888888888888").then_some(())
    })
    .await;
    assert_eq!(world.events("witness", 1).await, told, "once an hour at most");
}
