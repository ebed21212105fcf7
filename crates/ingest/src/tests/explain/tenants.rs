//! A tenant hears of its own secrets, and of others no more than receiving tells every sender.

use domain::TenantId;

use super::Told::{Fails, Fits};
use super::{check, explained, signed, source, with};
use crate::CheckName::{Connection, Signature, Source};
use crate::{Asker, Question, SchemeKind, Secret, SourceOptions};

fn of(tenant: &str, id: &str, value: &str, hook: Option<&str>) -> Secret {
    Secret {
        tenant: tenant.parse().unwrap(),
        hook: hook.map(str::to_owned),
        ..Secret::new(id, value)
    }
}

/// A source that both tenants use, one of each alone.
fn sources() -> Vec<SourceOptions> {
    let with = |name: &str, secrets: Vec<Secret>| SourceOptions {
        secrets,
        ..source(name, SchemeKind::Github, &[])
    };
    vec![
        with(
            "shared",
            vec![
                of("team-a", "a-general", "secret of a", None),
                of("team-b", "b-general", "secret of b", None),
                of("team-b", "b-bound", "bound of b", Some("77")),
            ],
        ),
        with("only-a", vec![of("team-a", "a-only", "only of a", None)]),
        with("only-b", vec![of("team-b", "b-only", "only of b", None)]),
    ]
}

fn by(secret: &str, source: &str, asker: &str) -> Question {
    let signer = SourceOptions {
        secrets: vec![Secret::new("x", secret)],
        ..super::source(source, SchemeKind::Github, &[])
    };
    Question {
        asker: match asker {
            "default" => Asker::Instance,
            tenant => Asker::Tenant(tenant.parse::<TenantId>().unwrap()),
        },
        ..signed(&signer, "push", "{}")
    }
}

#[test]
fn what_is_anothers_is_told_as_what_does_not_exist() {
    let sources = sources();
    check(
        &sources,
        &by("secret of a", "shared", "team-a"),
        Fits("a-general"),
    );
    let unknown = explained(&sources, &by("only of b", "nowhere", "team-a"));
    let theirs = explained(&sources, &by("only of b", "only-b", "team-a"));
    assert_eq!(unknown.checks, theirs.checks);
    assert_eq!(theirs.scheme, None);
    // Their own names are told, and no other.
    check(
        &sources,
        &by("x", "only-b", "team-a"),
        Fails(Source, "no source", "there are: shared, only-a"),
    );
    let guess = explained(&sources, &by("nobody's", "shared", "team-a"));
    for secret in ["secret of b", "bound of b", "only of b"] {
        let right = explained(&sources, &by(secret, "shared", "team-a"));
        assert_eq!(right, guess, "a signature by {secret} is told from a guess");
    }
}

#[test]
fn whoever_runs_the_instance_hears_of_all() {
    let sources = sources();
    check(
        &sources,
        &by("secret of b", "shared", "default"),
        Fits("b-general"),
    );
    check(
        &sources,
        &by("only of b", "shared", "default"),
        Fails(
            Signature,
            "a-general, b-general",
            "signed with the secret b-only of the source only-b",
        ),
    );
}

#[test]
fn a_hook_or_a_connection_of_anothers_is_refused_as_receiving_does() {
    let sources = sources();
    let hooked = with(by("secret of a", "shared", "team-a"), "x-github-hook-id", "77");
    check(
        &sources,
        &hooked,
        Fails(
            Signature,
            "no secret is tried",
            "secret a-general of this source, which is bound to no hook",
        ),
    );
    let mut connected = by("secret of a", "shared", "team-a");
    connected.connection = Some("77".into());
    let theirs = explained(&sources, &connected);
    check(
        &sources,
        &connected,
        Fails(Connection, "bound to this connection", "none is bound to any"),
    );
    connected.connection = Some("78".into());
    assert_eq!(explained(&sources, &connected), theirs);
}
