use wundr_db::{Result, repository};

#[repository]
trait Invoices: Send + Sync {
    async fn total(&self) -> Result<u64>;
    async fn cancel(&self, number: u64) -> Result<()>;
}

struct Audited<I>(I);

#[repository(exhaustive)]
impl<I: Invoices> Invoices for Audited<I> {
    async fn total(&self) -> Result<u64> {
        self.0.total().await
    }

    #[cfg(any())]
    async fn cancel(&self, number: u64) -> Result<()> {
        self.0.cancel(number).await
    }

    fn inner(&self) -> Option<&dyn Invoices> {
        Some(&self.0)
    }
}

fn main() {}
