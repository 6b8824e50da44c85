//! One order, from the names to the certificate.

use std::time::Duration;

use instant_acme::{
    Account, AuthorizationStatus, ChallengeType, Identifier, NewOrder, Order, OrderStatus,
};
use rcgen::{CertificateParams, CustomExtension, DistinguishedName, KeyPair};
use rustls::{crypto::aws_lc_rs, sign::CertifiedKey};
use rustls_pki_types::PrivateKeyDer;
use smol::Timer;

use super::trouble::Trouble;
use crate::certificate::served::Served;

/// The first pause between two questions whether the authority is done.
const FIRST_PAUSE: Duration = Duration::from_millis(500);

/// The longest.
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// What an authority issued, as PEM.
pub(super) struct Issued {
    /// The certificate, and those that lead to its root.
    pub(super) chain: String,
    /// Its private key.
    pub(super) private_key: String,
}

/// Orders a certificate for `names`: shows the authority, through `served`,
/// that this is who answers there, and fetches what it issues.
pub(super) async fn issue(
    account: &Account,
    names: &[String],
    served: &Served,
) -> Result<Issued, Trouble> {
    let identifiers: Vec<_> = names.iter().cloned().map(Identifier::Dns).collect();
    let mut order = account.new_order(&NewOrder::new(&identifiers)).await?;
    let _answers = Answers(served);
    answer_challenges(&mut order, served).await?;
    if wait_past(&mut order, OrderStatus::Pending).await? == OrderStatus::Invalid {
        return Err(refusal(&mut order).await);
    }
    let mut params = CertificateParams::new(names)?;
    params.distinguished_name = DistinguishedName::new();
    let key = KeyPair::generate()?;
    let request = params.serialize_request(&key)?;
    order.finalize_csr(request.der()).await?;
    if wait_past(&mut order, OrderStatus::Processing).await? == OrderStatus::Invalid {
        return Err(refusal(&mut order).await);
    }
    let chain = order.certificate().await?;
    Ok(Issued {
        chain: chain.ok_or_else(|| Trouble::Nonsense("an order without a certificate".into()))?,
        private_key: key.serialize_pem(),
    })
}

/// The answers to an order's challenges, until dropped.
struct Answers<'served>(&'served Served);

impl Drop for Answers<'_> {
    fn drop(&mut self) {
        self.0.clear_challenges();
    }
}

async fn answer_challenges(order: &mut Order, served: &Served) -> Result<(), Trouble> {
    let mut authorizations = order.authorizations();
    while let Some(authorization) = authorizations.next().await {
        let mut authorization = authorization?;
        let name = authorization.identifier().to_string();
        // It may remember that it looked, for another order.
        if authorization.status != AuthorizationStatus::Pending {
            continue;
        }
        let Some(mut challenge) = authorization.challenge(ChallengeType::TlsAlpn01) else {
            return Err(Trouble::NoChallenge(name));
        };
        let answer = answer(&name, challenge.key_authorization().digest().as_ref())?;
        served.set_challenge(name, answer);
        challenge.set_ready().await?;
    }
    Ok(())
}

/// The certificate that answers a challenge: it bears the digest of the key
/// authorization (RFC 8737 section 3).
fn answer(name: &str, digest: &[u8]) -> Result<CertifiedKey, Trouble> {
    let mut params = CertificateParams::new(vec![name.to_owned()])?;
    params.custom_extensions = vec![CustomExtension::new_acme_identifier(digest)];
    let key = KeyPair::generate()?;
    let certificate = params.self_signed(&key)?;
    let key = PrivateKeyDer::Pkcs8(key.serialize_der().into());
    let chain = vec![certificate.der().clone()];
    // No check whether the two belong together: rustls' own refuses a certificate
    // with a critical extension that it does not know, as this one has.
    aws_lc_rs::default_provider()
        .key_provider
        .load_private_key(key)
        .map(|key| CertifiedKey::new(chain, key))
        .map_err(|error| Trouble::Own(error.to_string()))
}

/// Asks until the order is not in `status` any more, and returns where it is
/// then. The caller has a deadline.
async fn wait_past(order: &mut Order, status: OrderStatus) -> Result<OrderStatus, Trouble> {
    let mut pause = FIRST_PAUSE;
    loop {
        let now = order.refresh().await?.status;
        if now != status {
            return Ok(now);
        }
        Timer::after(pause).await;
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}

/// What the authority says of an order that it will not fill: what it found at
/// the first name that failed, else what it says of the order as a whole.
async fn refusal(order: &mut Order) -> Trouble {
    let of_order = order.state().error.clone();
    let mut authorizations = order.authorizations();
    while let Some(Ok(authorization)) = authorizations.next().await {
        let mut challenges = authorization.challenges.iter();
        if let Some(problem) = challenges.find_map(|challenge| challenge.error.clone()) {
            let name = authorization.identifier().to_string();
            return Trouble::Refused(Some(name), problem);
        }
    }
    match of_order {
        Some(problem) => Trouble::Refused(None, problem),
        None => Trouble::Nonsense("an order that failed without a reason".to_owned()),
    }
}
