//! What the stream lacks, or keeps quiet about, comes from the log.

use super::*;

#[tokio::test(start_paused = true)]
async fn an_event_missing_from_the_stream_is_read_from_the_log() {
    let world = World::new(1);
    let running = world.start();
    running.caught_up(&world).await;
    append(world.log.as_ref(), 5).await;
    world.put_all_but(&[1, 2]).await;
    let before = tokio::time::Instant::now();
    running.caught_up(&world).await;
    assert!(
        before.elapsed() < Duration::from_secs(1),
        "the gap is seen, not the silence"
    );
    world.equals_a_fold("one").await;
    running.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_silent_stream_is_not_believed_while_the_head_moves() {
    let world = World::new(1);
    let running = world.start();
    running.caught_up(&world).await;
    append(world.log.as_ref(), 5).await;
    running.caught_up(&world).await;
    world.equals_a_fold("one").await;
    running.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_stream_that_is_down_or_of_another_log_is_done_without() {
    for down in [true, false] {
        let world = World::new(1);
        world.stream.state().down = down;
        world.stream.put(
            log_id(9),
            &recorded(90_000, &TestDelivery::new("push", "{}")),
            Position::START,
        );
        append(world.log.as_ref(), 5).await;
        let running = world.start();
        running.caught_up(&world).await;
        append(world.log.as_ref(), 5).await;
        running.caught_up(&world).await;
        world.equals_a_fold("one").await;
        running.stop().await;
    }
}
