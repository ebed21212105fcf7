//! Randomness from the seed.
//!
//! Ids, jitter, the order of hash maps and the choices of `select!` all come from the operating system in the end. The
//! function that everybody asks is replaced in this binary: on a thread that was given a seed it answers from the seed,
//! elsewhere it asks the system. So the code under test runs as it is, and one seed decides all of it.

#![allow(
    unsafe_code,
    reason = "the C function that hands out randomness is replaced, which only C linkage can do"
)]

use std::cell::Cell;
use std::ffi::{c_uint, c_void};

use crate::dice::Dice;

thread_local! {
    static SEEDED: Cell<Option<Dice>> = const { Cell::new(None) };
}

/// From now on this thread gets its randomness from a seed.
pub fn seed_this_thread(seed: u64) {
    SEEDED.set(Some(Dice::seeded(seed)));
}

/// As `getrandom(2)`.
///
/// # Safety
/// `buffer` holds at least `len` bytes that may be written.
#[unsafe(no_mangle)]
unsafe extern "C" fn getrandom(buffer: *mut c_void, len: usize, flags: c_uint) -> isize {
    let Some(mut dice) = SEEDED.take() else {
        // SAFETY: the arguments are passed on as they came.
        let answer = unsafe { libc::syscall(libc::SYS_getrandom, buffer, len, flags) };
        return isize::try_from(answer).unwrap_or(-1);
    };
    // SAFETY: the caller says that so many bytes may be written, and nobody else sees them meanwhile.
    let bytes = unsafe { std::slice::from_raw_parts_mut(buffer.cast::<u8>(), len) };
    for chunk in bytes.chunks_mut(8) {
        let random = dice.roll().to_le_bytes();
        let (part, _) = random.split_at(chunk.len());
        chunk.copy_from_slice(part);
    }
    SEEDED.set(Some(dice));
    isize::try_from(len).unwrap_or(-1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_decides_ids_and_the_order_of_maps() {
        let run = |seed: u64| {
            let thread = std::thread::spawn(move || {
                seed_this_thread(seed);
                let map: std::collections::HashMap<u32, ()> = (0..50).map(|n| (n, ())).collect();
                let order: Vec<u32> = map.into_keys().collect();
                (uuid::Uuid::new_v4(), rand::random::<u64>(), order)
            });
            thread.join().unwrap()
        };
        assert_eq!(run(1), run(1));
        assert_ne!(run(1), run(2));
    }
}
