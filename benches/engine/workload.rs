//! The workload of the engine benchmark, as `rocksdb.c` has it: keys, values, the choice of keys, the loops that are
//! timed. A subject is a process of its own, so that its memory can be told from the others'.

use std::io::{BufRead, Write};
use std::path::Path;
use std::time::Instant;

pub(crate) const VALUE_BYTES: usize = 100;
pub(crate) const KEY_BYTES: usize = 21;

/// An engine under test.
pub(crate) trait Subject: Sync {
    fn get(&self, key: &[u8]) -> Option<Vec<u8>>;
    fn put(&self, key: &[u8], value: &[u8]);
    /// Reads, lets `change` work on the value, and writes it back.
    fn read_modify_write(&self, key: &[u8], change: &dyn Fn(&mut [u8]));
    /// A put that is on disk on return.
    fn put_synced(&self, key: &[u8], value: &[u8]);
    /// Touches key and value of this many items, and returns a sum over them.
    fn scan(&self, from: &[u8], items: usize) -> u64;
    fn flush(&self);
    /// Waits until the background is quiet.
    fn settle(&self);
}

/// Opens a subject: path, bytes of a memory table, bytes of the block cache.
pub(crate) type Open = fn(&Path, u64, u64) -> Box<dyn Subject>;

pub(crate) fn mix(seed: u64) -> u64 {
    let mut z = seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

fn key(number: u64) -> [u8; KEY_BYTES] {
    let mixed = mix(number);
    let mut key = *b"\x01user0000000000000000";
    for (at, digit) in key.iter_mut().skip(5).enumerate() {
        let nibble = (mixed >> (60 - 4 * at)) & 15;
        *digit = b"0123456789abcdef"[usize::try_from(nibble).unwrap()];
    }
    key
}

fn value(number: u64) -> [u8; VALUE_BYTES] {
    std::array::from_fn(|at| mix(number.wrapping_add(at as u64 / 8)).to_le_bytes()[at % 8])
}

/// The zipfian generator of YCSB with theta 0.99, scattered over the keys.
struct Zipf {
    count: f64,
    zeta: f64,
    eta: f64,
}

impl Zipf {
    const THETA: f64 = 0.99;

    #[expect(clippy::cast_precision_loss, reason = "counts of keys are far below 2^53")]
    fn new(count: u64) -> Self {
        let zeta: f64 = (1..=count).map(|rank| (rank as f64).powf(-Self::THETA)).sum();
        let count = count as f64;
        let eta =
            (1.0 - (2.0 / count).powf(1.0 - Self::THETA)) / (1.0 - (1.0 + 0.5_f64.powf(Self::THETA)) / zeta);
        Self { count, zeta, eta }
    }

    #[expect(clippy::cast_precision_loss, clippy::cast_possible_truncation, clippy::cast_sign_loss)]
    fn rank(&self, random: u64) -> u64 {
        let u = (random >> 11) as f64 / 9_007_199_254_740_992.0;
        let uz = u * self.zeta;
        if uz < 1.0 {
            0
        } else if uz < 1.0 + 0.5_f64.powf(Self::THETA) {
            1
        } else {
            (self.count * (self.eta * u - self.eta + 1.0).powf(1.0 / (1.0 - Self::THETA))) as u64
        }
    }
}

/// Nanoseconds of each operation, and their sum.
struct Times {
    each: Vec<u32>,
    start: Instant,
    before: Instant,
}

impl Times {
    fn new(count: u64) -> Self {
        let now = Instant::now();
        Self { each: Vec::with_capacity(usize::try_from(count).unwrap()), start: now, before: now }
    }

    fn lap(&mut self) {
        let now = Instant::now();
        self.each.push(u32::try_from((now - self.before).as_nanos()).unwrap_or(u32::MAX));
        self.before = now;
    }

    #[expect(clippy::cast_precision_loss, reason = "a count of operations")]
    fn report(mut self) -> String {
        let elapsed = (self.before - self.start).as_secs_f64();
        let count = self.each.len();
        self.each.sort_unstable();
        format!("{} {} {:.1}", self.each[count / 2], self.each[count * 99 / 100], count as f64 / elapsed)
    }
}

/// Serves the lines on standard input until it ends.
pub(crate) fn serve(open: Open) {
    let mut session = Session { open, subject: None, records: 0, zipf: None };
    for line in std::io::stdin().lock().lines() {
        let answer = session.answer(&line.unwrap());
        let mut output = std::io::stdout().lock();
        writeln!(output, "{answer}").unwrap();
        output.flush().unwrap();
    }
}

struct Session {
    open: Open,
    subject: Option<Box<dyn Subject>>,
    records: u64,
    zipf: Option<Zipf>,
}

impl Session {
    fn answer(&mut self, line: &str) -> String {
        let words: Vec<&str> = line.splitn(4, ' ').collect();
        let number = |at: usize| words[at].parse::<u64>().unwrap();
        match words[0] {
            "open" => {
                let start = Instant::now();
                self.subject = Some((self.open)(Path::new(words[3]), number(1), number(2)));
                format!("0 0 {}", start.elapsed().as_nanos())
            }
            "load" => self.load(number(1)),
            "rmw" => self.read_modify_write(words[1] == "zipf", number(2), number(3)),
            "read" => self.read(number(1), number(2), 0),
            "miss" => self.read(number(1), number(2), self.records),
            "scan" => self.scan(number(1), number(2), number(3)),
            "sync" => self.synced(number(1), number(2)),
            "flush" => {
                self.subject().flush();
                self.subject().settle();
                "0 0 0".to_owned()
            }
            "settle" => {
                self.subject().settle();
                "0 0 0".to_owned()
            }
            other => panic!("no such command: {other}"),
        }
    }

    fn subject(&self) -> &dyn Subject {
        self.subject.as_deref().unwrap()
    }

    #[expect(clippy::cast_precision_loss, reason = "a count of operations")]
    fn load(&mut self, count: u64) -> String {
        let start = Instant::now();
        for number in 0..count {
            self.subject().put(&key(number), &value(number));
        }
        self.records = count;
        format!("0 0 {:.1}", count as f64 / start.elapsed().as_secs_f64())
    }

    fn read_modify_write(&mut self, zipf: bool, count: u64, seed: u64) -> String {
        if zipf && self.zipf.is_none() {
            self.zipf = Some(Zipf::new(self.records));
        }
        let mut times = Times::new(count);
        for number in 0..count {
            let random = mix(seed + number);
            let chosen = match &self.zipf {
                Some(generator) if zipf => mix(generator.rank(random)) % self.records,
                _ => random % self.records,
            };
            self.subject()
                .read_modify_write(&key(chosen), &|value| value[..8].copy_from_slice(&number.to_le_bytes()));
            times.lap();
        }
        times.report()
    }

    fn read(&self, count: u64, seed: u64, beyond: u64) -> String {
        let mut times = Times::new(count);
        for number in 0..count {
            let value = self.subject().get(&key(mix(seed + number) % self.records + beyond));
            assert_eq!(value.is_some(), beyond == 0, "a key is missing, or there that should not be");
            times.lap();
        }
        times.report()
    }

    fn scan(&self, count: u64, seed: u64, items: u64) -> String {
        let mut times = Times::new(count);
        let mut sum = 0_u64;
        for number in 0..count {
            let from = key(mix(seed + number) % self.records);
            sum = sum.wrapping_add(self.subject().scan(&from, usize::try_from(items).unwrap()));
            times.lap();
        }
        std::hint::black_box(sum);
        times.report()
    }

    #[expect(clippy::cast_precision_loss, reason = "a count of operations")]
    fn synced(&self, writers: u64, count: u64) -> String {
        let start = Instant::now();
        std::thread::scope(|scope| {
            for writer in 0..writers {
                scope.spawn(move || {
                    for number in 0..count / writers {
                        self.subject().put_synced(&key(writer * 1_000_000 + number), &value(number));
                    }
                });
            }
        });
        format!("0 0 {:.1}", count as f64 / start.elapsed().as_secs_f64())
    }
}
