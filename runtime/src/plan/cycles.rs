//! The order of evaluation, and the cycles that forbid one.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use language_syntax::{Diagnostic, Diagnostics};

use super::PlannedNode;

/// Indexes with dependencies first, source order among equals. Nodes on a cycle, and what depends on them, are named,
/// marked faulty, and come last.
pub(super) fn order(nodes: &mut [PlannedNode], diagnostics: &mut Diagnostics) -> Vec<usize> {
    let mut waiting: Vec<usize> = vec![0; nodes.len()];
    let mut dependants: Vec<Vec<usize>> = vec![Vec::new(); nodes.len()];
    for (index, node) in nodes.iter().enumerate() {
        for dependency in node.dependencies() {
            waiting[index] += 1;
            dependants[dependency].push(index);
        }
    }
    let mut ready: BinaryHeap<Reverse<usize>> =
        waiting.iter().enumerate().filter(|(_, count)| **count == 0).map(|(index, _)| Reverse(index)).collect();
    let mut order = Vec::with_capacity(nodes.len());
    while let Some(Reverse(index)) = ready.pop() {
        order.push(index);
        for &dependant in &dependants[index] {
            waiting[dependant] -= 1;
            if waiting[dependant] == 0 {
                ready.push(Reverse(dependant));
            }
        }
    }
    if order.len() == nodes.len() {
        return order;
    }
    for cycle in components(nodes) {
        diagnostics.push(describe(nodes, &cycle));
        cycle.iter().for_each(|index| nodes[*index].faulty = true);
    }
    let mut placed = vec![false; nodes.len()];
    order.iter().for_each(|index| placed[*index] = true);
    for (index, node) in nodes.iter_mut().enumerate() {
        if !placed[index] {
            // Edges among them cannot be followed; nothing of this plan is ever committed.
            node.references.clear();
            node.requires.clear();
            node.faulty = true;
            order.push(index);
        }
    }
    order
}

fn describe(nodes: &[PlannedNode], cycle: &[usize]) -> Diagnostic {
    let location = nodes[cycle[0]].location();
    if let [alone] = cycle {
        return Diagnostic::error(location, format!("self reference: {}", nodes[*alone].id));
    }
    let ids: Vec<&str> = cycle.iter().map(|index| nodes[*index].id.as_str()).collect();
    let mut diagnostic = Diagnostic::error(location, format!("cycle: {}", ids.join(", ")));
    for &index in cycle {
        let node = &nodes[index];
        let next: Vec<&str> = node
            .dependencies()
            .filter(|dependency| cycle.contains(dependency))
            .map(|dependency| nodes[dependency].id.as_str())
            .collect();
        diagnostic = diagnostic.with_hint(format!("{} at {} needs {}", node.id, node.location(), next.join(", ")));
    }
    diagnostic
}

/// Groups of nodes that need one another, each in source order (Tarjan, without recursion).
fn components(nodes: &[PlannedNode]) -> Vec<Vec<usize>> {
    const UNSEEN: usize = usize::MAX;
    let edges: Vec<Vec<usize>> = nodes.iter().map(|node| node.dependencies().collect()).collect();
    let (mut number, mut low) = (vec![UNSEEN; nodes.len()], vec![0; nodes.len()]);
    let (mut on_stack, mut stack) = (vec![false; nodes.len()], Vec::new());
    let (mut next, mut cycles) = (0, Vec::new());
    for root in 0..nodes.len() {
        if number[root] != UNSEEN {
            continue;
        }
        let mut visits = vec![(root, 0)];
        while let Some((index, edge)) = visits.pop() {
            if edge == 0 {
                (number[index], low[index]) = (next, next);
                next += 1;
                stack.push(index);
                on_stack[index] = true;
            }
            match edges[index].get(edge) {
                Some(&to) => {
                    visits.push((index, edge + 1));
                    if number[to] == UNSEEN {
                        visits.push((to, 0));
                    } else if on_stack[to] {
                        low[index] = low[index].min(number[to]);
                    }
                }
                None => {
                    if let Some((parent, _)) = visits.last() {
                        low[*parent] = low[*parent].min(low[index]);
                    }
                    if low[index] == number[index] {
                        let at = stack.iter().position(|on| *on == index).expect("a visited node is on the stack");
                        let mut group = stack.split_off(at);
                        group.iter().for_each(|index| on_stack[*index] = false);
                        group.sort_unstable();
                        if group.len() > 1 || edges[index].contains(&index) {
                            cycles.push(group);
                        }
                    }
                }
            }
        }
    }
    cycles.sort();
    cycles
}
