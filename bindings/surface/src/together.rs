//! Many operations of one call under way together, in rounds, so that a long list does not start all at once.

use std::task::Poll;

use ringkeep::base::env::BoxFuture;

/// Operations of one round: enough to fill the links, few enough to leave others room.
const TOGETHER: usize = 64;

/// Starts an operation for each item and gives the results in the order of the items.
pub(crate) async fn in_rounds<I, T>(
    items: Vec<I>,
    mut start: impl FnMut(I) -> BoxFuture<'static, T>,
) -> Vec<T> {
    let mut results = Vec::with_capacity(items.len());
    let mut items = items.into_iter();
    loop {
        let round: Vec<_> = items.by_ref().take(TOGETHER).map(&mut start).collect();
        if round.is_empty() {
            return results;
        }
        results.extend(together(round).await);
    }
}

async fn together<T>(futures: Vec<BoxFuture<'static, T>>) -> Vec<T> {
    let mut places: Vec<_> = futures.into_iter().map(|future| (Some(future), None)).collect();
    std::future::poll_fn(|context| {
        let mut open = false;
        for (future, result) in &mut places {
            if let Some(pending) = future {
                match pending.as_mut().poll(context) {
                    Poll::Ready(value) => {
                        *result = Some(value);
                        *future = None;
                    }
                    Poll::Pending => open = true,
                }
            }
        }
        if open { Poll::Pending } else { Poll::Ready(()) }
    })
    .await;
    places.into_iter().filter_map(|(_, result)| result).collect()
}
