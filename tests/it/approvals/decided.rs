//! Who decides on an approval, how, and until when.

use super::*;

#[tokio::test]
async fn somebody_else_decides_who_may_and_says_why() {
    let world = world().await;
    let id = waits(&rename(&world, MEI, "v2").await);
    for (admin, expected) in
        [("nobody", 401), ("see", 403), ("audit", 403), ("nobodys", 403), ("meis", 403)]
    {
        for what in ["approve", "reject"] {
            let answer = decide(&world, admin, &id, what).await;
            assert_eq!(answer.status, expected, "{admin} {what}: {}", answer.text());
        }
    }
    let path = format!("/api/v1/approvals/{id}/approve");
    let post = || Call::post(&path).token("release");
    let reason = json!({"reason": "it was agreed upon"});
    let tries = [
        (post().json(&json!({"reason": "."})), 400),
        (post().json(&json!({"reason": "............"})), 400),
        (post().json(&json!({})), 400),
        (post().json(&json!({"reason": "it was agreed upon", "more": 1})), 400),
        (post().json(&json!({"reason": "x".repeat(2_000)})), 400),
        (post().json(&json!({"reason": "x".repeat(20_000)})), 413),
        (post().body("reason=agreed"), 415),
        (post().header("content-type", "text/plain").body(reason.to_string()), 415),
        (post().json(&reason).header("sec-fetch-site", "cross-site"), 403),
        (post().json(&reason).header("sec-fetch-site", "same-site"), 403),
        (post().json(&reason).header("origin", "https://evil.example"), 403),
        (Call::get(&path).token("release"), 405),
        (Call::post("/api/v1/approvals").token("release").json(&reason), 405),
        (Call::get("/api/v1/approvals/apr_1").token("audit"), 404),
        (Call::get("/api/v1/approvals?state=none").token("audit"), 400),
    ];
    for (n, (sent, expected)) in tries.into_iter().enumerate() {
        let answer = call(world.admin(), sent).await;
        assert_eq!(answer.status, expected, "{n}: {}", answer.text());
    }
    assert_eq!(state(&world, &id).await, "open");
    assert_eq!(decide(&world, "root", &id, "approve").await.status, 200);
    let twice = decide(&world, "release", &id, "approve").await;
    assert_eq!(twice.status, 409, "{}", twice.text());
}

#[tokio::test]
async fn of_many_who_decide_at_once_one_does() {
    let world = world().await;
    let id = waits(&rename(&world, MEI, "v2").await);
    let deciding = (0..16).map(|n| {
        let (admin, id) = (world.admin(), id.clone());
        let token = ["release", "root"][n % 2];
        tokio::spawn(async move { decide_at(admin, token, &id, "approve").await })
    });
    let mut decided = 0;
    for answer in deciding.collect::<Vec<_>>() {
        let answer = answer.await.unwrap();
        assert!([200, 409].contains(&answer.status.as_u16()), "{}", answer.text());
        decided += u8::from(answer.status == 200);
    }
    assert_eq!(decided, 1);
}

#[tokio::test]
async fn what_was_rejected_does_not_pass_and_what_was_approved_can_be_taken_back() {
    let world = world().await;
    let first = waits(&rename(&world, MEI, "v2").await);
    assert_eq!(decide(&world, "release", &first, "reject").await.json()["state"], "rejected");
    let second = waits(&rename(&world, MEI, "v2").await);
    assert_ne!(second, first);
    approve(&world, &second).await;
    assert_eq!(decide(&world, "root", &second, "reject").await.status, 200);
    assert_ne!(waits(&rename(&world, MEI, "v2").await), second);
    assert_eq!(world.writes_received(), 0);
    let all = ask(&world, "/api/v1/approvals").await;
    let states: Vec<_> = all["data"].as_array().unwrap().iter().map(|one| &one["state"]).collect();
    assert_eq!(states, ["open", "rejected", "rejected"]);
}

#[tokio::test]
async fn an_approval_is_over_when_its_time_is_and_stays_listed() {
    let (clock, manual) = clock();
    let policy = format!("{POLICY}[approvals]\nexpires_after = '2h'\nrun_within = '30m'\n");
    let world = Setup::new().config(&config("")).policy(&policy).clock(clock).start().await;
    let undecided = waits(&rename(&world, MEI, "v2").await);
    manual.advance(Duration::from_mins(119));
    assert_eq!(waits(&rename(&world, MEI, "v2").await), undecided);
    manual.advance(Duration::from_mins(1));
    assert_eq!(state(&world, &undecided).await, "expired");
    let late = decide(&world, "release", &undecided, "approve").await;
    assert_eq!(late.status, 409);
    assert!(late.text().contains("expired"), "{}", late.text());
    let unused = waits(&rename(&world, MEI, "v2").await);
    assert_ne!(unused, undecided);
    approve(&world, &unused).await;
    assert_eq!(approval(&world, &unused).await["run_until"], "2026-11-29T12:30:00.000Z");
    manual.advance(Duration::from_mins(30));
    assert_eq!(state(&world, &unused).await, "expired");
    let third = waits(&rename(&world, MEI, "v2").await);
    approve(&world, &third).await;
    manual.advance(Duration::from_millis(29 * 60_000 + 59_999));
    assert_eq!(rename(&world, MEI, "v2").await.status, 200);
    let expired = ask(&world, "/api/v1/approvals?state=expired").await;
    let ids: Vec<_> = expired["data"].as_array().unwrap().iter().map(|one| &one["id"]).collect();
    assert_eq!(ids, [&json!(unused), &json!(undecided)]);
}

#[tokio::test]
async fn each_step_is_an_event_and_a_viewer_sees_no_words_of_it() {
    let world = world().await;
    let first = waits(&rename(&world, MEI, "v2").await);
    decide(&world, "release", &first, "reject").await;
    let second = waits(&rename(&world, MEI, "v2").await);
    approve(&world, &second).await;
    assert_eq!(rename(&world, MEI, "v2").await.status, 200);
    let events = ask(&world, "/api/v1/events").await;
    let events = events["data"].as_array().unwrap().iter();
    let steps: Vec<_> =
        events.filter(|event| event["kind"] == "approval").map(|event| &event["detail"]).collect();
    let told: Vec<_> = steps.iter().rev().map(|detail| detail["step"].as_str().unwrap()).collect();
    assert_eq!(told, ["opened", "rejected", "opened", "approved", "used"]);
    assert_eq!(steps[4]["approval"], first);
    assert_eq!(steps[1]["by"], "chen.jie");
    assert_eq!(steps[1]["deployment_id"], DEPLOYMENT);

    for path in [
        format!("/api/v1/approvals/{second}"),
        "/api/v1/approvals".to_owned(),
        "/api/v1/events".to_owned(),
        "/api/v1/changes".to_owned(),
    ] {
        let seen = call(world.admin(), Call::get(&path).token("see")).await;
        assert_eq!(seen.status, 200);
        let text = seen.text();
        for secret in ["agreed upon", "v2", "names are changed"] {
            assert!(!text.contains(secret), "{path} {secret}: {text}");
        }
        assert!(text.contains("chen.jie"), "{path}: {text}");
    }
}
