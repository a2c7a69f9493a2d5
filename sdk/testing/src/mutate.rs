//! Fuzzing without a fuzzer: seeds, and mutations of them that are the same in every run.
//!
//! The targets under `fuzz/` call plain functions; an ordinary test gives the same functions to [`run`].

/// Calls a function with every seed and with so many mutations of seeds.
///
/// If the function panics, the input is printed.
pub fn run(seeds: &[Vec<u8>], words: &[&str], mutations: usize, target: impl Fn(&[u8]) + std::panic::RefUnwindSafe) {
    for seed in seeds {
        call(&target, seed);
    }
    let mut random = Random(0x9e37_79b9_7f4a_7c15);
    for _ in 0..mutations {
        let mut input = random.pick(seeds).cloned().unwrap_or_default();
        for _ in 0..=random.below(4) {
            mutate(&mut input, seeds, words, &mut random);
        }
        call(&target, &input);
    }
}

#[allow(clippy::print_stderr)] // the one thing that helps when a test fails here
fn call(target: &(impl Fn(&[u8]) + std::panic::RefUnwindSafe), input: &[u8]) {
    if let Err(panic) = std::panic::catch_unwind(|| target(input)) {
        eprintln!("input: b\"{}\"", input.escape_ascii());
        std::panic::resume_unwind(panic);
    }
}

fn mutate(input: &mut Vec<u8>, seeds: &[Vec<u8>], words: &[&str], random: &mut Random) {
    let at = random.below(input.len() + 1);
    let length = random.below(16).min(input.len() - at);
    match random.below(7) {
        0 => input.insert(at, random.next() as u8),
        1 => drop(input.drain(at..at + length)),
        2 if at < input.len() => input[at] ^= 1 << random.below(8),
        3 => input.truncate(at),
        4 => {
            let part = input[at..at + length].to_vec();
            let to = random.below(input.len() + 1);
            input.splice(to..to, part);
        }
        5 => {
            let other = random.pick(seeds).map_or(&[][..], Vec::as_slice);
            let from = random.below(other.len() + 1);
            let part = &other[from..(from + random.below(64)).min(other.len())];
            input.splice(at..at + length, part.iter().copied());
        }
        _ => {
            let word = random.pick(words).copied().unwrap_or("\0");
            input.splice(at..at, word.bytes());
        }
    }
}

/// Numbers that look random and are always the same (xorshift).
struct Random(u64);

// === impl Random ===

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn below(&mut self, limit: usize) -> usize {
        (self.next() % limit.max(1) as u64) as usize
    }

    fn pick<'t, T>(&mut self, from: &'t [T]) -> Option<&'t T> {
        from.get(self.below(from.len()))
    }
}
