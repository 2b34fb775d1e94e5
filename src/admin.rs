//! Stand-in.
use std::sync::Arc;
pub struct AdminState {
    pub audit: crate::audit::Audit,
    pub tokens: Arc<dyn Fn() -> Arc<Vec<crate::config::AdminToken>> + Send + Sync>,
    pub metrics_text: Arc<dyn Fn() -> String + Send + Sync>,
    pub clock: crate::clock::Clock,
}
pub async fn serve(
    _l: tokio::net::TcpListener,
    _s: AdminState,
    shutdown: impl Future<Output = ()> + Send + 'static,
) -> std::io::Result<()> {
    shutdown.await;
    Ok(())
}
