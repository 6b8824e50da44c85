//! The relay's account with an authority.

use instant_acme::{Account, NewAccount};
use tracing::warn;

use super::{
    Acme,
    https::Https,
    store::{self, Store},
    trouble::Trouble,
};

/// The account that was kept, else a new one.
pub(super) async fn open(
    settings: &Acme,
    https: &Https,
    store: &Store,
) -> Result<Account, Trouble> {
    let kept = match store.account().await {
        Ok(kept) => kept,
        Err(error) => {
            warn!("certificate: {error}; a new account is made");
            None
        }
    };
    let Some(kept) = kept else {
        return make(settings, https, store).await;
    };
    let has_contact = kept.contact == settings.contact;
    let builder = Account::builder_with_http(Box::new(https.clone()));
    let account = builder.from_credentials(kept.credentials).await?;
    if !has_contact {
        let contact = contact(settings);
        let contact: Vec<_> = contact.iter().map(String::as_str).collect();
        account.update_contacts(&contact).await?;
        // The credentials are the account's own by now, so they are read again.
        if let Ok(Some(mut kept)) = store.account().await {
            kept.contact.clone_from(&settings.contact);
            keep(store, &kept).await;
        }
    }
    Ok(account)
}

/// A new account. Who runs the relay agrees to the authority's terms.
pub(super) async fn make(
    settings: &Acme,
    https: &Https,
    store: &Store,
) -> Result<Account, Trouble> {
    let contact = contact(settings);
    let contact: Vec<_> = contact.iter().map(String::as_str).collect();
    let new = NewAccount {
        contact: &contact,
        terms_of_service_agreed: true,
        only_return_existing: false,
    };
    let directory = settings.directory.to_string();
    let builder = Account::builder_with_http(Box::new(https.clone()));
    let (account, credentials) = builder.create(&new, directory.clone(), None).await?;
    let made = store::Account {
        directory,
        contact: settings.contact.clone(),
        credentials,
    };
    keep(store, &made).await;
    Ok(account)
}

async fn keep(store: &Store, account: &store::Account) {
    if let Err(error) = store.keep_account(account).await {
        warn!("certificate: the account with the authority is not kept: {error}");
    }
}

/// The contact as a URL (RFC 8555 section 7.3).
fn contact(settings: &Acme) -> Option<String> {
    let contact = settings.contact.as_ref()?;
    Some(match contact.starts_with("mailto:") {
        true => contact.clone(),
        false => format!("mailto:{contact}"),
    })
}
