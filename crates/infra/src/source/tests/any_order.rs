//! Whatever is done, through whichever replica: all know the same in the end, and so does one that comes later.

use domain::{AddSource, AddSourceSecret, ChangeSource, SourceTerms, Sources as _, TenantId};
use proptest::collection::vec;
use proptest::prelude::*;

use super::rig::{Replica, Rig, of, order, rotation, secret, until};

const NAMES: [&str; 3] = ["shop", "hub", "github"];

/// What is done: by which replica, to which source, in what way, with which secret.
type Step = (bool, usize, u8, usize);

async fn take(replica: &Replica, (_, name, way, secret_number): Step) {
    let (name, text) = (NAMES[name % NAMES.len()], format!("s{secret_number}"));
    let keeper = &replica.keeper;
    let source = of(name, "default");
    // Refusals are part of it: they leave no trace.
    let _ = match way % 8 {
        0 => {
            let secret = Some(secret(&text));
            let order = AddSource {
                secret,
                ..order(name, "default")
            };
            keeper.add(order).await.map(drop)
        }
        1 => {
            let secret = secret(&text);
            keeper
                .add_secret(AddSourceSecret { source, secret })
                .await
                .map(drop)
        }
        2 => keeper
            .rotate(rotation(name, "default", &text, 60_000))
            .await
            .map(drop),
        3 => keeper
            .revoke_secret(&source, &text.parse().unwrap())
            .await
            .map(drop),
        4 => keeper.pause(&source, None).await.map(drop),
        5 => keeper.resume(&source).await.map(drop),
        6 => {
            let terms = SourceTerms {
                path: Some(format!("/hooks/{}", secret_number % 2)),
                ..SourceTerms::of_scheme("github")
            };
            let revision = None;
            let change = ChangeSource {
                source,
                terms,
                revision,
            };
            keeper.change(change).await.map(drop)
        }
        _ => keeper.remove(&source, None).await,
    };
}

async fn the_same_everywhere(steps: Vec<Step>) {
    let rig = Rig::new();
    let replicas = [rig.replica().await, rig.replica().await];
    for step in steps {
        take(&replicas[usize::from(step.0)], step).await;
        rig.clock.advance_millis(25_000);
    }
    let late = rig.replica().await;
    let default = TenantId::default();
    let list = async |replica: &Replica| replica.keeper.list(&default).await.unwrap();
    let expected = list(&late).await;
    for replica in &replicas {
        let head = expected.iter().filter_map(|source| source.revision).max();
        until("every replica has read all", || {
            head.is_none() || replica.receiver.all().len() == late.receiver.all().len()
        })
        .await;
        let mut known = list(replica).await;
        for _ in 0..5000 {
            if known == expected {
                break;
            }
            tokio::time::sleep(std::time::Duration::from_millis(2)).await;
            known = list(replica).await;
        }
        assert_eq!(known, expected);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn replicas_agree_on_the_sources_whatever_was_done(
        steps in vec((any::<bool>(), 0_usize..3, 0_u8..8, 0_usize..6), 0..24)
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(the_same_everywhere(steps));
    }
}
