use super::*;

const NOW: Duration = Duration::from_secs(1_700_000_010);

fn challenger() -> Challenger {
    Challenger::new([7; 32])
}

fn verifier() -> Verifier {
    Verifier::new("ann", "pa ss", "0123456789abcdef")
}

/// What stands behind `key=` in a description, up to the next `&`.
fn value<'a>(description: &'a str, key: &str) -> &'a str {
    let at = description.find(&format!("{key}=")).unwrap_or_else(|| panic!("{key} in {description}"));
    description[at + key.len() + 1..].split('&').next().unwrap()
}

fn ask(app: &str, known: bool) -> String {
    let verifier = verifier();
    match challenger().answer(Claim::read(app).as_ref(), known.then_some(&verifier), NOW) {
        Outcome::Ask { description } => description,
        other => panic!("{other:?}"),
    }
}

/// The third connection of a client with this user and password, written from the dialogue's description.
fn adobe_answer(user: &str, password: &str, known: bool, opaque: bool) -> String {
    let asked = ask(&format!("live?authmod=adobe&user={user}"), known);
    let h1 = md5_base64(&[user, value(&asked, "salt"), password]);
    let theirs = value(&asked, if opaque { "opaque" } else { "challenge" });
    let response = md5_base64(&[&h1, theirs, "deadbeef"]);
    let tail = if opaque { format!("&opaque={theirs}") } else { String::new() };
    format!("live?authmod=adobe&user={user}&challenge=deadbeef&response={response}{tail}")
}

fn limelight_answer(app: &str, password: &str) -> String {
    let asked = ask("live?authmod=llnw&user=ann", true);
    let nonce = value(&asked, "nonce");
    let ha1 = md5_hex(&["ann:live:", password]);
    let ha2 = md5_hex(&["publish:/", app, if app.contains('/') { "" } else { "/_definst_" }]);
    let response = md5_hex(&[&ha1, ":", nonce, ":00000001:c0ffee:auth:", &ha2]);
    format!("{app}?authmod=llnw&user=ann&nonce={nonce}&cnonce=c0ffee&nc=00000001&response={response}")
}

fn outcome(app: &str, known: bool, now: Duration) -> Outcome {
    let verifier = verifier();
    challenger().answer(Claim::read(app).as_ref(), known.then_some(&verifier), now)
}

#[test]
fn the_first_two_connections_are_told_what_to_send() {
    let need = "[ AccessManager.Reject ] : [ code=403 need auth; authmod=adobe ] : ";
    assert_eq!(ask("live", true), need);
    assert_eq!(ask("live?authmod=adobe", true), need);
    assert!(ask("live?authmod=llnw", true).contains("need auth; authmod=llnw ]"));
    let asked = ask("live?authmod=adobe&user=ann", true);
    assert!(
        asked.starts_with("[ AccessManager.Reject ] : [ authmod=adobe ] : ?reason=needauth&user=ann&salt=")
    );
    assert_eq!(value(&asked, "salt"), "0123456789abcdef");
    let longest = "u".repeat(USER_MAX);
    assert!(ask(&format!("live?authmod=adobe&user={longest}"), false).len() <= 255);
}

#[test]
fn the_password_opens_and_nothing_else_does() {
    let proven = Outcome::Proven { user: "ann".into() };
    let failed = Outcome::Failed {
        description: "[ AccessManager.Reject ] : [ authmod=adobe ] : ?reason=authfailed".into(),
    };
    for (name, app, known, want) in [
        ("with opaque", adobe_answer("ann", "pa ss", true, true), true, &proven),
        ("without opaque", adobe_answer("ann", "pa ss", true, false), true, &proven),
        ("empty opaque", adobe_answer("ann", "pa ss", true, false) + "&opaque=", true, &proven),
        ("wrong password", adobe_answer("ann", "pass", true, true), true, &failed),
        ("unknown user", adobe_answer("bob", "pa ss", false, true), false, &failed),
        (
            "other user's proof",
            adobe_answer("ann", "pa ss", true, true).replace("ann", "bob"),
            false,
            &failed,
        ),
        ("cut response", "live?authmod=adobe&user=ann&challenge=a&response=b".into(), true, &failed),
        ("name out of form", "live?authmod=adobe&user=a%20b&challenge=a&response=b".into(), true, &failed),
    ] {
        assert_eq!(outcome(&app, known, NOW), *want, "{name}");
    }
}

#[test]
fn limelight_is_checked_over_either_reading_of_the_application() {
    let proven = Outcome::Proven { user: "ann".into() };
    for app in ["live", "live/one", "live?authmod=llnw"] {
        assert_eq!(outcome(&limelight_answer(app, "pa ss"), true, NOW), proven, "{app}");
        assert!(matches!(outcome(&limelight_answer(app, "x"), true, NOW), Outcome::Failed { .. }), "{app}");
    }
    // FFmpeg strips nothing, others cut at the first question mark: both stand for one application.
    let cut = limelight_answer("live", "pa ss").replacen("live", "live?x=1", 1);
    assert_eq!(outcome(&cut, true, NOW), proven);
}

#[test]
fn challenges_grow_old() {
    let app = adobe_answer("ann", "pa ss", true, true);
    let after = |s| outcome(&app, true, NOW + Duration::from_secs(s));
    assert!(matches!(after(60), Outcome::Proven { .. }));
    assert!(matches!(after(91), Outcome::Failed { .. }));
}

#[test]
fn unknown_users_look_like_known_ones() {
    let (first, again) =
        (ask("live?authmod=adobe&user=eve", false), ask("live?authmod=adobe&user=eve", false));
    assert_eq!(value(&first, "salt"), value(&again, "salt"));
    assert_eq!(value(&first, "salt").len(), SALT_LEN);
    assert_ne!(value(&first, "salt"), value(&ask("live?authmod=adobe&user=bob", false), "salt"));
}

#[test]
fn claims_are_read_where_encoders_put_them() {
    for (app, want) in [
        ("live", None),
        ("live?user=ann", None),
        ("live?authmod=other&user=ann", None),
        ("?authmod=adobe&user=ann", Some(Some("ann"))),
        ("live?k=v?authmod=adobe&user=ann", Some(Some("ann"))),
        ("live?k=v&authmod=adobe&user=ann", Some(Some("ann"))),
        ("live?authmod=llnw?authmod=llnw&user=ann", Some(Some("ann"))),
        ("live?authmod=adobe&user=", Some(None)),
    ] {
        let claim = Claim::read(app);
        assert_eq!(claim.as_ref().map(Claim::user), want, "{app}");
    }
}

#[test]
fn verifiers_hold_no_password_and_print_nothing() {
    let verifier = verifier();
    let (salt, adobe, limelight) = verifier.parts();
    let again = Verifier::from_parts(salt.into(), adobe.into(), limelight.into());
    assert!(again.fits("ann", "pa ss") && !again.fits("ann", "pass") && !again.fits("bob", "pa ss"));
    assert_eq!(format!("{verifier:?}"), "Verifier(<redacted>)");
    // Computed by md5sum.
    assert_eq!(limelight, "5fe8cc3de554bc65ac09b3386fde6928");
}

proptest::proptest! {
    #[test]
    fn no_claim_panics(app in ".{0,40}([?&]authmod=(adobe|llnw)(&[a-z]{1,9}=.{0,20}){0,6})?") {
        let _ = outcome(&app, false, NOW);
    }
}
