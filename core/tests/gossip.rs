//! What gossip promises of a crowd of members: who is known to be gone and how soon, who is never taken for gone, and
//! what a round costs.
#![expect(clippy::disallowed_methods, reason = "a time to begin at; no clock runs here")]
#![cfg(feature = "testing")]

use ringkeep::base::NodeNumber;
use ringkeep::membership::Standing;
use ringkeep::testing::crowd::{Condition, Crowd, Loss};
use tokio::time::Instant;

const FIRST: NodeNumber = NodeNumber(1);
const SECOND: NodeNumber = NodeNumber(2);
const SEEDS: u64 = 1_000;

fn none() -> Loss {
    Box::new(|_, _, _| false)
}

fn well(size: u32, seed: u64, loss: Loss, rounds: usize) -> Crowd {
    let mut crowd = Crowd::new(size, seed, Instant::now(), none());
    for _ in 0..rounds {
        crowd.round();
    }
    crowd.set_loss(loss);
    crowd
}

/// Lets rounds pass in which nobody may take anybody else for down.
fn nobody_is_down(crowd: &mut Crowd, size: u32, rounds: u32, seed: u64, except: Option<NodeNumber>) {
    for round in 0..rounds {
        crowd.round();
        for at in (1..=size).map(NodeNumber).filter(|at| Some(*at) != except) {
            for of in (1..=size).map(NodeNumber).filter(|of| *of != at) {
                let standing = crowd.standing(at, of);
                assert_ne!(standing, Standing::Down, "seed {seed}, round {round}: n{of} at n{at}");
            }
        }
    }
    assert_eq!(crowd.refused(), 0, "seed {seed}");
}

#[test]
fn a_dead_member_is_down_everywhere_within_a_few_rounds() {
    for (size, seed, rounds) in [(2, 1, 3), (3, 2, 3), (5, 3, 4), (10, 4, 6)] {
        let mut crowd = well(size, seed, none(), 20);
        crowd.set(SECOND, Condition::Dead);
        for _ in 0..rounds {
            crowd.round();
        }
        let others = usize::try_from(size).unwrap() - 1;
        assert_eq!(crowd.holding(SECOND, Standing::Down), others, "of {size} members");
        assert_eq!(crowd.holding(FIRST, Standing::Down), 0);
    }
}

#[test]
fn a_paused_member_is_down_everywhere_within_ten_rounds_and_up_with_its_first_heartbeats() {
    for (size, seed) in [(2, 1), (3, 2), (5, 3), (10, 4)] {
        let mut crowd = well(size, seed, none(), 20);
        crowd.set(SECOND, Condition::Paused);
        for _ in 0..10 {
            crowd.round();
        }
        let others = usize::try_from(size).unwrap() - 1;
        assert_eq!(crowd.holding(SECOND, Standing::Down), others, "of {size} members");
        crowd.set(SECOND, Condition::Well);
        for _ in 0..4 {
            crowd.round();
        }
        assert_eq!(crowd.holding(SECOND, Standing::Up), others, "of {size} members");
    }
}

#[test]
fn one_way_loss_on_one_link_takes_nobody_down() {
    for seed in 0..SEEDS {
        let size = 3 + u32::try_from(seed % 5).unwrap();
        let loss: Loss = Box::new(|from, to, _| (from, to) == (FIRST, SECOND));
        let mut crowd = well(size, seed, loss, 10);
        nobody_is_down(&mut crowd, size, 40, seed, None);
    }
}

#[test]
fn forty_per_cent_of_loss_takes_nobody_down() {
    for seed in 0..SEEDS {
        let size = 3 + u32::try_from(seed % 5).unwrap();
        let mut crowd = well(size, seed, Box::new(|_, _, random| random % 100 < 40), 10);
        nobody_is_down(&mut crowd, size, 40, seed, None);
    }
}

#[test]
fn one_accuser_that_has_lost_sight_moves_nobody() {
    for seed in 0..SEEDS {
        let size = 3 + u32::try_from(seed % 5).unwrap();
        // The first member is heard and hears nobody.
        let mut crowd = well(size, seed, Box::new(|_, to, _| to == FIRST), 10);
        nobody_is_down(&mut crowd, size, 40, seed, Some(FIRST));
    }
}

#[test]
fn a_minority_routes_around_what_it_cannot_reach() {
    let mut crowd = well(5, 9, Box::new(|from, to, _| (from <= SECOND) != (to <= SECOND)), 20);
    for _ in 0..12 {
        crowd.round();
    }
    for (at, of) in [(1, 3), (1, 4), (2, 5), (3, 1), (4, 2)] {
        assert_eq!(crowd.standing(NodeNumber(at), NodeNumber(of)), Standing::Down, "n{of} at n{at}");
    }
    assert_eq!(crowd.standing(FIRST, SECOND), Standing::Up);
    assert_eq!(crowd.standing(NodeNumber(4), NodeNumber(5)), Standing::Up);
}

#[test]
fn two_data_centres_without_a_link_each_go_on_and_find_each_other_again() {
    let third = NodeNumber(3);
    let mut crowd = well(6, 11, Box::new(move |from, to, _| (from <= third) != (to <= third)), 20);
    for _ in 0..12 {
        crowd.round();
    }
    let across = |crowd: &Crowd, standing| {
        let pairs = (1..=3).flat_map(|here| (4..=6).map(move |there| (NodeNumber(here), NodeNumber(there))));
        pairs
            .filter(|(a, b)| crowd.standing(*a, *b) == standing && crowd.standing(*b, *a) == standing)
            .count()
    };
    assert_eq!(across(&crowd, Standing::Down), 9);
    assert_eq!(crowd.standing(FIRST, SECOND), Standing::Up);
    crowd.set_loss(none());
    for _ in 0..6 {
        crowd.round();
    }
    assert_eq!(across(&crowd, Standing::Up), 9);
}

#[test]
fn bytes_of_a_quiet_round_grow_at_most_with_the_logarithm_of_the_members() {
    let cost = |size: u32| {
        let mut crowd = well(size, 5, none(), 0);
        crowd.acquaint();
        crowd.round();
        let bytes: u64 = (0..5).map(|_| crowd.round()).sum();
        #[expect(clippy::cast_precision_loss, reason = "far below 2^53")]
        let cost = bytes as f64 / 5.0 / f64::from(size);
        cost
    };
    let costs: Vec<(u32, f64)> = [3, 10, 100, 400].map(|size| (size, cost(size))).into();
    for pair in costs.windows(2) {
        let [(few, low), (many, high)] = pair else { continue };
        let logarithm = f64::from(*many).ln() / f64::from(*few).ln();
        // Three members have only two others to speak with; from ten on the number of exchanges is the same.
        let exchanges = if *few == 3 { 1.5 } else { 1.0 };
        assert!(high / low <= logarithm * exchanges, "{few} members: {low:.0} B, {many}: {high:.0} B");
    }
}
