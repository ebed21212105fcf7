//! What is kept of requests that are turned away.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use domain::testing::MemoryRejected;
use domain::{ContentHash, KeepRejected, RejectedRequest};
use poem::http::StatusCode;

use super::rig::{Delivery, Rig, SECRET};
use crate::{IngestOptions, RejectedOptions, Secret, SourceOptions};

const OTHER: &str = "another secret of the same source";

struct Kept {
    rig: Rig,
    kept: Arc<MemoryRejected>,
}

impl Kept {
    fn new() -> Self {
        Self::with(RejectedOptions::default(), |_, _| {})
    }

    fn with(options: RejectedOptions, change: impl FnOnce(&mut IngestOptions, &mut SourceOptions)) -> Self {
        let (rig, kept) = (Rig::with(change), Arc::<MemoryRejected>::default());
        rig.ingest
            .keep_rejected(options, Arc::<MemoryRejected>::clone(&kept));
        Self { rig, kept }
    }

    /// Sends what is turned away with that status, and gives what is kept of it.
    async fn refused(&self, delivery: Delivery, status: u16) -> RejectedRequest {
        let before = self.kept.all().len();
        let reply = self.rig.send(delivery).await;
        assert_eq!(reply.status.as_u16(), status, "{reply:?}");
        let mut all = self.kept.all();
        assert_eq!(all.len(), before + 1, "{all:?}");
        let kept = all.remove(before);
        assert_eq!(kept.request_id.to_string(), reply.header("x-request-id").unwrap());
        assert_eq!((kept.status, kept.code.as_str()), (status, reply.code()));
        assert_eq!(kept.message, reply.json["error"]["message"]);
        kept
    }
}

fn value<'a>(kept: &'a RejectedRequest, name: &str) -> &'a str {
    let header = kept.headers.iter().find(|header| header.0 == name);
    header.map_or("", |header| header.1.as_str())
}

fn forged() -> Delivery {
    let mut forged = Delivery::push();
    forged.sign("nobody's secret");
    forged
}

#[tokio::test]
async fn a_forged_request_is_kept_with_its_body_and_hash() {
    let world = Kept::new();
    let forged = forged();
    let body = forged.body.clone();
    let kept = world.refused(forged, 401).await;
    assert_eq!(
        (kept.reason.as_str(), kept.source.as_str()),
        ("signature_invalid", "github")
    );
    assert_eq!(kept.body.as_deref(), Some(body.as_slice()));
    assert_eq!(kept.sha256, Some(ContentHash::of(&body)));
    assert_eq!(kept.body_bytes, Some(body.len() as u64));
    assert_eq!(kept.announced_bytes, Some(body.len() as u64));
    assert_eq!(kept.tenant.as_str(), "default");
    assert_eq!(value(&kept, "x-github-event"), "push");
}

#[tokio::test]
async fn before_the_body_is_read_nothing_is_said_of_it() {
    let world = Kept::with(RejectedOptions::default(), |_, source| {
        source.body_bytes_max = Some(1000);
        source.user_agent_check = true;
    });
    for (delivery, status, reason) in [
        (Delivery::push().without("x-github-event"), 400, "header_missing"),
        (
            Delivery::push().and("x-github-event", "x"),
            400,
            "header_duplicated",
        ),
        (
            Delivery::push().with("x-github-delivery", &"x".repeat(600)),
            400,
            "header_invalid",
        ),
        (
            Delivery::push().with("content-type", "text/plain"),
            415,
            "content_type",
        ),
        (
            Delivery::push().with("user-agent", "curl/8"),
            403,
            "user_agent_refused",
        ),
        (
            Delivery::push().without("x-hub-signature-256"),
            401,
            "signature_invalid",
        ),
        (
            Delivery::push().with("x-long", &"x".repeat(40_000)),
            431,
            "headers_too_large",
        ),
        (Delivery::new("push", vec![b' '; 2000]), 413, "body_too_large"),
    ] {
        let kept = world.refused(delivery, status).await;
        assert_eq!(kept.reason, reason);
        let nothing = (kept.body_bytes, kept.sha256, kept.body, kept.body_kept);
        assert_eq!(nothing, (None, None, None, false), "{reason}");
    }
}

#[tokio::test]
async fn of_a_body_that_is_too_large_only_its_size_so_far_is_kept() {
    let world = Kept::with(RejectedOptions::default(), |_, source| {
        source.body_bytes_max = Some(1000)
    });
    let kept = world
        .refused(Delivery::new("push", vec![b' '; 2000]).in_pieces(600), 413)
        .await;
    assert_eq!(
        (kept.announced_bytes, kept.body_bytes, kept.body),
        (None, Some(600), None)
    );
    assert_eq!(kept.sha256, Some(ContentHash::of(&[b' '; 600])));
}

#[tokio::test]
async fn what_is_right_but_unwanted_is_kept_without_its_signature() {
    let world = Kept::with(RejectedOptions::default(), |_, source| {
        source.source_rate_per_minute = 1
    });
    let list = Delivery::new("push", "[1]");
    let kept = world.refused(list.clone(), 400).await;
    assert_eq!(
        (kept.reason.as_str(), kept.body.as_deref()),
        ("not_json_object", Some(b"[1]".as_slice()))
    );
    assert_eq!(
        value(&kept, "x-hub-signature-256"),
        "sha256=(64 characters masked)"
    );
    assert_eq!(world.rig.send(Delivery::push()).await.status, StatusCode::OK);
    let kept = world.refused(Delivery::push(), 429).await;
    assert_eq!(kept.reason, "source_rate");
    assert_eq!(
        value(&kept, "x-hub-signature-256"),
        "sha256=(64 characters masked)"
    );
}

#[tokio::test]
async fn what_nobody_looks_up_is_only_counted() {
    let world = Kept::new();
    assert_eq!(
        world
            .rig
            .send(Delivery::push().at("/webhooks/made-up"))
            .await
            .status,
        404
    );
    world.rig.log.set_unwritable(true);
    assert_eq!(world.rig.send(Delivery::push()).await.status, 503);
    assert_eq!(world.kept.all(), []);
}

#[tokio::test]
async fn secrets_and_signatures_are_masked_wherever_they_stand() {
    let world = Kept::new();
    let hex = "a".repeat(64);
    let sent = forged()
        .with("authorization", "Bearer abc")
        .with("cookie", "session=abc")
        .with("x-gitlab-token", "abc")
        .with("x-company-secret", "abc")
        .with("x-plain", &format!("see {SECRET}!"))
        .with("x-other", "Bearer abc")
        .with("x-hub-signature", "sha1=0123456789012345678901234567890123456789")
        .with("x-own-proof", &hex)
        .with("x-unknown", &format!("sha256={hex}"));
    let kept = world.refused(sent, 401).await;
    for name in [
        "authorization",
        "cookie",
        "x-gitlab-token",
        "x-company-secret",
        "x-plain",
        "x-other",
    ] {
        assert_eq!(value(&kept, name), "(masked)", "{name}");
    }
    assert_eq!(value(&kept, "x-hub-signature"), "sha1=(40 characters masked)");
    assert_eq!(value(&kept, "x-own-proof"), "(64 characters masked)");
    assert_eq!(value(&kept, "x-unknown"), "sha256=(64 characters masked)");
    let mut leaky = Delivery::new("push", format!(r#"{{"config":"{SECRET}"}}"#));
    leaky.sign("nobody's secret");
    let kept = world.refused(leaky, 401).await;
    assert_eq!((kept.body_kept, kept.body), (false, None));
    assert!(kept.sha256.is_some());
}

#[tokio::test]
async fn a_flood_of_one_kind_leaves_room_for_others_and_is_counted() {
    let options = RejectedOptions {
        kind_per_minute: 10,
        sender_per_minute: 10,
        body_every: 5,
        ..RejectedOptions::default()
    };
    let world = Kept::with(options, |_, _| {});
    for _ in 0..200 {
        assert_eq!(world.rig.send(forged()).await.status, 401);
    }
    let all = world.kept.all();
    assert!((10..=12).contains(&all.len()), "{} are kept", all.len());
    let bodies = all.iter().filter(|kept| kept.body.is_some()).count();
    assert_eq!(bodies, all.len().div_ceil(5));
    let kept = world
        .refused(Delivery::push().without("x-github-event"), 400)
        .await;
    assert_eq!(kept.left_out_before, 0, "another kind");
}

#[tokio::test]
async fn whose_it_is_follows_from_the_secrets_that_were_tried() {
    let secret = |id: &str, tenant: &str, hook: Option<&str>| Secret {
        tenant: tenant.parse().unwrap(),
        hook: hook.map(str::to_owned),
        ..Secret::new(id, &format!("{OTHER} {id}"))
    };
    let world = Kept::with(RejectedOptions::default(), |_, source| {
        source.secrets = vec![
            secret("a", "team-a", Some("41")),
            secret("b", "team-b", Some("42")),
            secret("c", "team-c", Some("both")),
            secret("d", "team-d", Some("both")),
        ];
    });
    let tenant =
        async |delivery: Delivery, status| world.refused(delivery, status).await.tenant.as_str().to_owned();
    assert_eq!(tenant(forged(), 401).await, "team-a");
    assert_eq!(
        tenant(forged().with("x-github-hook-id", "42"), 401).await,
        "team-b"
    );
    assert_eq!(tenant(forged().at("/webhooks/github/42"), 401).await, "team-b");
    assert_eq!(
        tenant(forged().with("x-github-hook-id", "both"), 401).await,
        "default"
    );
    assert_eq!(tenant(forged().without("x-github-event"), 400).await, "default");
}

/// Takes as long as it likes, as no port may; what calls it has to go on all the same.
#[derive(Default)]
struct Counting(AtomicUsize);

impl KeepRejected for Counting {
    fn keep(&self, _: RejectedRequest) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

#[tokio::test]
async fn what_was_made_here_is_never_kept() {
    let rig = Rig::with(|_, source| source.secrets = vec![Secret::new("x", SECRET)]);
    let port = Arc::<Counting>::default();
    rig.ingest
        .keep_rejected(RejectedOptions::default(), Arc::<Counting>::clone(&port));
    let delivery = crate::SyntheticDelivery {
        body: Some("[]".into()),
        ..crate::SyntheticDelivery::example("push", "octo-org/hello", None)
    };
    let answer = rig.ingest.receive_synthetic(delivery).await;
    assert_eq!(answer.status, 400);
    assert_eq!(port.0.load(Ordering::SeqCst), 0);
}
