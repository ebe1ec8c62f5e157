//! A line that breaks: between engine and broker, and cuts all that goes through it again and again.
//!
//! A cut is a hard one: both ends see their connection closed, and what was under way in between is gone.

use std::net::{Ipv4Addr, SocketAddr};
use std::thread::JoinHandle;
use std::time::Duration;

use lineside_model::{Error, Result};
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;
use tokio::task::JoinSet;

/// A line to a port on loopback that breaks; dropping it ends it.
#[derive(Debug)]
pub struct Storm {
    port: u16,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Storm {
    /// A line to this port, cut so often, for so long; after that it holds.
    ///
    /// # Errors
    /// There is no free port, or no thread.
    pub fn start(to: u16, every: Duration, lasts: Duration) -> Result<Self> {
        let cannot = |error: std::io::Error| Error::external("cannot start the line that breaks").caused_by(error);
        let listener = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).map_err(cannot)?;
        listener.set_nonblocking(true).map_err(cannot)?;
        let port = listener.local_addr().map_err(cannot)?.port();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(cannot)?;
        let (stop, stopped) = oneshot::channel();
        let run = async move {
            let served = serve(listener, (Ipv4Addr::LOCALHOST, to).into(), every, lasts);
            tokio::select! {
                ended = served => if let Err(error) = ended {
                    tracing::warn!(%error, "the line that breaks is broken for good");
                },
                _ = stopped => {}
            }
        };
        let thread = std::thread::Builder::new().name("storm".to_owned());
        let thread = thread.spawn(move || runtime.block_on(run)).map_err(cannot)?;
        Ok(Self { port, stop: Some(stop), thread: Some(thread) })
    }

    /// Its port on loopback.
    pub fn port(&self) -> u16 {
        self.port
    }
}

impl Drop for Storm {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the thread of the line that breaks panicked");
        }
    }
}

async fn serve(
    listener: std::net::TcpListener,
    to: SocketAddr,
    every: Duration,
    lasts: Duration,
) -> std::io::Result<()> {
    let listener = TcpListener::from_std(listener)?;
    let calm = tokio::time::Instant::now() + lasts;
    let mut cuts = tokio::time::interval(every);
    // The first tick is at once.
    cuts.tick().await;
    // Dropping the tasks closes what they hold.
    let mut lines = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => {
                let (mut near, _) = accepted?;
                lines.spawn(async move {
                    near.set_nodelay(true)?;
                    let mut far = TcpStream::connect(to).await?;
                    far.set_nodelay(true)?;
                    copy_bidirectional(&mut near, &mut far).await
                });
            }
            _ = lines.join_next(), if !lines.is_empty() => {}
            at = cuts.tick() => if at < calm {
                lines = JoinSet::new();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;

    #[tokio::test]
    async fn a_line_carries_bytes_until_it_is_cut_and_takes_the_next_connection() {
        let echo = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let to = echo.local_addr().expect("bound").port();
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = echo.accept().await {
                tokio::spawn(async move {
                    let (mut read, mut write) = stream.split();
                    tokio::io::copy(&mut read, &mut write).await
                });
            }
        });
        let storm = Storm::start(to, Duration::from_millis(50), Duration::from_secs(3_600)).expect("it starts");
        for _ in 0..3 {
            let mut line = TcpStream::connect(("127.0.0.1", storm.port())).await.expect("it takes connections");
            line.write_all(b"sent").await.expect("it is open");
            let mut all = Vec::new();
            // It ends with the cut.
            let cut = line.read_to_end(&mut all).await;
            assert!(cut.is_err() || all == b"sent" || all.is_empty());
        }
    }
}
