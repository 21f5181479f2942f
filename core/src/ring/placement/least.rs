//! The theoretical least: how few replicas any placement can move that is spread and fair, as a minimum-cost flow.
//! Slow, and independent of how placement itself searches.

use std::collections::{BTreeMap, VecDeque};

use super::tree::Tree;
use crate::base::NodeNumber;
use crate::ring::Member;

/// Dearer than any real move: meeting a node's lower bound comes before everything.
const BOUND: i64 = 1 << 20;

struct Edge {
    to: usize,
    room: i64,
    cost: i64,
}

#[derive(Default)]
struct Flow {
    edges: Vec<Edge>,
    from: Vec<Vec<usize>>,
}

impl Flow {
    fn vertex(&mut self) -> usize {
        self.from.push(Vec::new());
        self.from.len() - 1
    }

    fn edge(&mut self, from: usize, to: usize, room: i64, cost: i64) {
        self.from[from].push(self.edges.len());
        self.edges.push(Edge { to, room, cost });
        self.from[to].push(self.edges.len());
        self.edges.push(Edge { to: from, room: 0, cost: -cost });
    }

    /// The cost of the greatest flow at the least cost, by shortest paths (Bellman-Ford with a queue).
    fn run(&mut self, source: usize, sink: usize) -> i64 {
        let mut total = 0;
        loop {
            let mut cost = vec![i64::MAX; self.from.len()];
            let mut via = vec![usize::MAX; self.from.len()];
            let mut queued = vec![false; self.from.len()];
            let mut queue = VecDeque::from([source]);
            cost[source] = 0;
            while let Some(at) = queue.pop_front() {
                queued[at] = false;
                for index in &self.from[at] {
                    let edge = &self.edges[*index];
                    if edge.room > 0 && cost[at] + edge.cost < cost[edge.to] {
                        cost[edge.to] = cost[at] + edge.cost;
                        via[edge.to] = *index;
                        if !queued[edge.to] {
                            queued[edge.to] = true;
                            queue.push_back(edge.to);
                        }
                    }
                }
            }
            if cost[sink] == i64::MAX {
                return total;
            }
            total += cost[sink];
            let mut at = sink;
            while at != source {
                let index = via[at];
                self.edges[index].room -= 1;
                self.edges[index ^ 1].room += 1;
                at = self.edges[index ^ 1].to;
            }
        }
    }
}

/// The least moves from the rows `before` to any rows of `n` that spread as they must and give every node its fair number,
/// rounded down or up. Where a zone's bound hangs on its data centre's count, the looser one is taken.
pub(super) fn by_flow(before: &[Vec<NodeNumber>], members: &[Member], n: usize) -> i64 {
    let all: Vec<&Member> = members.iter().collect();
    let tree = Tree::new(&all);
    let bounds = tree.fair_bounds(n, before.len());
    let mut flow = Flow::default();
    let (source, sink) = (flow.vertex(), flow.vertex());
    let nodes: Vec<usize> = members.iter().map(|_| flow.vertex()).collect();
    let mut bound = 0;
    for (index, vertex) in nodes.iter().enumerate() {
        let (least, most) = bounds[tree.leaf(u32::try_from(index).unwrap())];
        bound += least;
        flow.edge(*vertex, sink, least, -BOUND);
        flow.edge(*vertex, sink, most - least, 0);
    }
    for row in before {
        let partition = flow.vertex();
        flow.edge(source, partition, i64::try_from(n).unwrap(), 0);
        let mut groups = BTreeMap::new();
        for (index, member) in members.iter().enumerate() {
            let (mut above, mut in_parent) = (partition, n);
            for group in tree.path(u32::try_from(index).unwrap()) {
                let most = tree.most(*group, in_parent);
                in_parent = most;
                above = *groups.entry(*group).or_insert_with(|| {
                    let vertex = flow.vertex();
                    flow.edge(above, vertex, i64::try_from(most).unwrap(), 0);
                    vertex
                });
            }
            flow.edge(above, nodes[index], 1, i64::from(!row.contains(&member.number)));
        }
    }
    flow.run(source, sink) + bound * BOUND
}
