use wundr_db::blocking::repository;
use wundr_db::Result;

#[repository]
trait Invoices: Send + Sync {
    async fn total(&self) -> Result<u64>;
}

struct Audited;

#[repository(exhaustive, pass(total))]
impl Invoices for Audited {}

fn main() {}
