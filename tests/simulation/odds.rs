//! How often what goes wrong, drawn anew for each seed, so that some runs are quiet where others are wild.

use crate::dice::Dice;

/// Percentages, unless the name says otherwise.
#[derive(Debug, Clone)]
pub struct Odds {
    /// How long things go wrong, in milliseconds of the world's time.
    pub storm_ms: u64,
    /// Deliveries that senders have.
    pub deliveries: u64,
    /// The most steps of a life that ends by itself.
    pub life_steps: u64,
    /// The longest pause of a step, in milliseconds.
    pub pause_ms_max: u64,
    pub request_lost: u64,
    pub answer_lost: u64,
    pub sent_twice: u64,
    pub append_refused: u64,
    pub append_in_doubt: u64,
    pub read_fails: u64,
    pub disk_fails: u64,
    pub publish_lost: u64,
    pub ack_lost: u64,
    pub stream_fails: u64,
    pub message_lost: u64,
    pub message_twice: u64,
    pub tables_fail: u64,
    pub insert_in_doubt: u64,
    pub note_fails: u64,
    pub target_fails: u64,
    pub target_answer_lost: u64,
    pub target_hangs: u64,
}

impl Odds {
    pub fn drawn(dice: &mut Dice) -> Self {
        let mut often = |of: &[u64]| *dice.pick(of);
        Self {
            storm_ms: often(&[8_000, 15_000, 30_000]),
            deliveries: often(&[12, 24, 48]),
            life_steps: often(&[60, 300, 1500]),
            pause_ms_max: often(&[60, 500, 3000]),
            request_lost: often(&[0, 5, 20]),
            answer_lost: often(&[0, 5, 20]),
            sent_twice: often(&[0, 20, 60]),
            append_refused: often(&[0, 2, 15]),
            append_in_doubt: often(&[0, 2, 15]),
            read_fails: often(&[0, 1, 5]),
            disk_fails: often(&[0, 4, 12]),
            publish_lost: often(&[0, 3, 15]),
            ack_lost: often(&[0, 3, 15]),
            stream_fails: often(&[0, 2, 10]),
            message_lost: often(&[0, 2, 10]),
            message_twice: often(&[0, 5, 20]),
            tables_fail: often(&[0, 2, 10]),
            insert_in_doubt: often(&[0, 5, 30]),
            note_fails: often(&[0, 10]),
            target_fails: often(&[0, 10, 50]),
            target_answer_lost: often(&[0, 10, 30]),
            target_hangs: often(&[0, 2, 10]),
        }
    }
}
