//! A cluster in this process, for the tests of applications.

use std::ffi::c_char;
use std::time::Duration;

use ringkeep_surface::{ClusterHandle, Error, Result, errors};

use crate::guard::{Out, free, guard, quiet};
use crate::input;
use crate::store::{rk_store, wait, watch_forks};
use crate::types::{rk_error, rk_status};

/// Nodes that one call names, and groups, at the most: a cluster has fewer.
const NAMED_MAX: usize = 1_024;

/// Real nodes in this process, for tests: they can be killed, restarted and cut off from each other.
pub struct rk_cluster {
    cluster: ClusterHandle,
}

/// Starts size nodes (1 to 32) whose default bucket has n replicas, under the directory path; NULL: each node's disk is in
/// memory and forgets what a crash would lose. Returns once every node serves and knows the others.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rk_cluster_start(
    size: usize,
    n: u32,
    path: *const c_char,
    out: *mut *mut rk_cluster,
    err: *mut rk_error,
) -> rk_status {
    // SAFETY: the caller's pointers, NULL or valid.
    let out = unsafe { Out::clear(out) };
    let body = || {
        let out = out.required()?;
        watch_forks();
        // SAFETY: as above.
        let path = unsafe { input::text(path, "path")? };
        let cluster = wait(ClusterHandle::start(size, n, path))?;
        out.give(rk_cluster { cluster });
        Ok(errors::OK)
    };
    // SAFETY: as above.
    unsafe { guard(err, body) }
}

/// The node in a place, from 0. Freeing the handle leaves the node running; after a restart the place has another node.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rk_cluster_node(
    c: *mut rk_cluster,
    i: usize,
    out: *mut *mut rk_store,
    err: *mut rk_error,
) -> rk_status {
    // SAFETY: the caller's pointers, NULL or valid.
    let out = unsafe { Out::clear(out) };
    let body = || {
        let out = out.required()?;
        // SAFETY: as above.
        let cluster = unsafe { input::handle(c, "the cluster")? };
        let nodes = cluster.cluster.nodes();
        let size = nodes.len();
        let node = nodes.into_iter().nth(i);
        let node = node.ok_or_else(|| Error::invalid(format!("there is no node {i} of {size}")))?;
        out.give(rk_store::shared(node));
        Ok(errors::OK)
    };
    // SAFETY: as above.
    unsafe { guard(err, body) }
}

/// Connects a client of all nodes. It reaches every node, however the network between them is cut.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rk_cluster_client(
    c: *mut rk_cluster,
    out: *mut *mut rk_store,
    err: *mut rk_error,
) -> rk_status {
    // SAFETY: the caller's pointers, NULL or valid.
    let out = unsafe { Out::clear(out) };
    let body = || {
        let out = out.required()?;
        // SAFETY: as above.
        let cluster = unsafe { input::handle(c, "the cluster")? };
        out.give(rk_store::new(wait(cluster.cluster.client())?));
        Ok(errors::OK)
    };
    // SAFETY: as above.
    unsafe { guard(err, body) }
}

/// Ends a node as kill -9 would: nothing is flushed. Killing a dead node does nothing.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rk_cluster_kill(c: *mut rk_cluster, i: usize, err: *mut rk_error) -> rk_status {
    // SAFETY: as this function's own.
    unsafe { change(c, err, |cluster| wait(cluster.kill(i))) }
}

/// Brings the same member back, with what its disk still has; rk_cluster_node then gives it.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rk_cluster_restart(c: *mut rk_cluster, i: usize, err: *mut rk_error) -> rk_status {
    // SAFETY: as this function's own.
    unsafe { change(c, err, |cluster| wait(cluster.restart(i))) }
}

/// Cuts the network between groups of nodes until rk_cluster_heal; a later partition replaces it. nodes holds the nodes of
/// all groups, one group behind the other, and sizes how many each group has. Nodes that no group names form one more.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rk_cluster_partition(
    c: *mut rk_cluster,
    nodes: *const usize,
    sizes: *const usize,
    groups: usize,
    err: *mut rk_error,
) -> rk_status {
    let cut = |cluster: &ClusterHandle| {
        // SAFETY: the caller's pointers, NULL or valid.
        let sizes = unsafe { numbers(sizes, groups, "sizes")? };
        let all = sizes.iter().try_fold(0_usize, |all, size| all.checked_add(*size));
        let all = all.ok_or_else(|| Error::invalid("sizes add up to more than there can be"))?;
        // SAFETY: as above.
        let mut nodes = unsafe { numbers(nodes, all, "nodes")? };
        let mut named = Vec::with_capacity(sizes.len());
        for size in sizes {
            let (group, rest) = nodes.split_at_checked(*size).unwrap_or((nodes, &[]));
            named.push(group.to_vec());
            nodes = rest;
        }
        wait(cluster.partition(named))
    };
    // SAFETY: as above.
    unsafe { change(c, err, cut) }
}

/// Mends the network. What the nodes missed of each other they make up for in the background: see rk_cluster_settle.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rk_cluster_heal(c: *mut rk_cluster, err: *mut rk_error) -> rk_status {
    // SAFETY: as this function's own.
    unsafe { change(c, err, |cluster| wait(cluster.heal())) }
}

/// Returns once every owner holds the same, and RK_TIMEOUT otherwise.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rk_cluster_settle(
    c: *mut rk_cluster,
    timeout_ms: i64,
    err: *mut rk_error,
) -> rk_status {
    let settle = |cluster: &ClusterHandle| {
        let timeout = u64::try_from(timeout_ms)
            .map_err(|_| Error::invalid(format!("timeout_ms={timeout_ms} is negative")))?;
        wait(cluster.settle(Duration::from_millis(timeout)))
    };
    // SAFETY: as this function's own.
    unsafe { change(c, err, settle) }
}

/// Closes every node and ends the cluster.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rk_cluster_free(c: *mut rk_cluster) {
    // SAFETY: as this function's own.
    if let Some(cluster) = unsafe { c.as_ref() } {
        quiet((), || {
            // Who frees has given up the close's error; in a child of fork there is nothing to close.
            let _unheard = wait(cluster.cluster.close());
        });
    }
    // SAFETY: as this function's own.
    unsafe { free(c) }
}

/// Does something to a cluster.
///
/// # Safety
/// `c` and `err` are NULL or valid.
unsafe fn change(
    c: *mut rk_cluster,
    err: *mut rk_error,
    what: impl FnOnce(&ClusterHandle) -> Result<()>,
) -> rk_status {
    let body = || {
        // SAFETY: as this function's own.
        let cluster = unsafe { input::handle(c, "the cluster")? };
        what(&cluster.cluster)?;
        Ok(errors::OK)
    };
    // SAFETY: as this function's own.
    unsafe { guard(err, body) }
}

/// An array of the caller's.
///
/// # Safety
/// `from` is NULL or has `count` readable numbers.
unsafe fn numbers<'a>(from: *const usize, count: usize, name: &str) -> Result<&'a [usize]> {
    if count > NAMED_MAX {
        return Err(Error::invalid(format!("{name} has {count} numbers, more than {NAMED_MAX}")));
    }
    match (from.is_null(), count) {
        (_, 0) => Ok(&[]),
        (true, _) => Err(Error::invalid(format!("{name} is NULL"))),
        // SAFETY: as this function's own; the count is bounded above.
        (false, _) if from.is_aligned() => Ok(unsafe { std::slice::from_raw_parts(from, count) }),
        (false, _) => Err(Error::invalid(format!("{name} is not aligned"))),
    }
}
