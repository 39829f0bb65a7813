//! The observer of a pool's connections, which the cache implements.

/// Receives which server the connections of a pool lead to.
///
/// Without an observer, no connection is asked for its timeline.
pub(crate) trait ConnectionObserver: Send + Sync {
    /// Receives that another server may respond from now on.
    ///
    /// A connection was lost, or none could be opened, or one was opened after that.
    fn server_may_have_changed(&self);

    /// Receives the timeline of a new connection's server; `None` if it is a standby or did not
    /// respond.
    ///
    /// Returns `true` if this server has taken over from the server of the earlier connections,
    /// which are then retired.
    fn connected_to(&self, timeline: Option<&str>) -> bool;
}
