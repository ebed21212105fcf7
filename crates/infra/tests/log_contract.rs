//! The segmented log keeps the contract of every log.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::sync::Arc;

use domain::testing::contract::{self, ContractLog};
use infra::log::{LogOptions, SegmentedLog};

async fn keeps_the_contract(options: LogOptions) {
    let folder = tempfile::tempdir().unwrap();
    let count = std::sync::atomic::AtomicUsize::new(0);
    contract::run_all(async |clock| {
        let n = count.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
        let path = folder.path().join(n.to_string());
        let log = SegmentedLog::open(&path, options.clone(), clock).await.unwrap();
        log as Arc<dyn ContractLog>
    })
    .await;
    assert!(count.into_inner() > 20);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_segmented_log_keeps_the_contract() {
    let options = LogOptions {
        segment_bytes: 1024 * 1024,
        fill_ahead_bytes: 64 * 1024,
        ..LogOptions::default()
    };
    keeps_the_contract(options).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_contract_holds_over_tiny_segments_and_an_eager_index() {
    let options = LogOptions {
        // Room for the largest metadata, and little more.
        segment_bytes: 80 * 1024,
        fill_ahead_bytes: 0,
        fill_step_bytes: 4096,
        index_delay_ms: 0,
        ..LogOptions::default()
    };
    keeps_the_contract(options).await;
}
