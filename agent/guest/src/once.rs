//! A value that comes once, and any number who wait for it.

use tokio::sync::watch;

pub struct Once<T>(watch::Sender<Option<T>>);

impl<T> Default for Once<T> {
    fn default() -> Self {
        Self(watch::Sender::new(None))
    }
}

impl<T: Clone> Once<T> {
    /// The first value stays: what comes later changes nothing.
    pub fn set(&self, value: T) {
        self.0.send_if_modified(|held| {
            let first = held.is_none();
            if first {
                *held = Some(value);
            }
            first
        });
    }

    pub fn get(&self) -> Option<T> {
        self.0.borrow().clone()
    }

    pub async fn wait(&self) -> T {
        let mut watcher = self.0.subscribe();
        loop {
            if let Some(value) = watcher.borrow_and_update().clone() {
                return value;
            }
            // The sender is in this very value.
            let _ = watcher.changed().await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn all_who_wait_get_the_first_value() {
        let once = Once::default();
        let (early, ()) = tokio::join!(once.wait(), async {
            once.set(1);
            once.set(2);
        });
        assert_eq!((early, once.wait().await, once.get()), (1, 1, Some(1)));
    }
}
