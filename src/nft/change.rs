//! Applying and removing.

use super::error::NftError;
use super::folder::{Applied, Folder, Pending};
use super::revert::{self, Revert};
use super::run::Nft;
use crate::firewall::{self, Loaded, Ruleset};

/// A wish to have these rules loaded.
#[derive(Debug)]
pub struct Change<'a> {
    pub ruleset: &'a Ruleset,
    /// Undo it after so many milliseconds, unless somebody confirms.
    pub revert: Option<Revert>,
}

/// What applying did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Changed {
    /// Nothing: the very rules are loaded.
    Nothing,
    /// There was no table.
    Made,
    /// The rules changed; counters and remembered sources were kept.
    Updated,
    /// The table had been changed by others and was made anew.
    Replaced,
}

/// What removing did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Removed {
    Nothing,
    Table,
}

impl Change<'_> {
    /// Checks the rules first, arms the way back if asked to, then loads them in one transaction.
    pub async fn apply(&self, nft: &Nft, folder: &Folder) -> Result<Changed, NftError> {
        let _lock = folder.lock()?;
        revert::none_pending(folder).await?;
        let listing = listing(nft).await?;
        let applied = folder.applied()?;
        let source = self.ruleset.text();
        let loaded = loaded(listing.as_deref(), applied.as_ref());
        if let (Loaded::Known(_), Some(applied)) = (loaded, &applied)
            && applied.source == source
        {
            return Ok(Changed::Nothing);
        }
        let transaction = firewall::load(self.ruleset, loaded);
        nft.check(&transaction).await?;
        let changed = match loaded {
            Loaded::Absent => Changed::Made,
            Loaded::Known(_) => Changed::Updated,
            Loaded::Unknown => Changed::Replaced,
        };
        if let Some(revert) = &self.revert {
            let restoration = firewall::restoration(listing.as_deref());
            nft.check(&restoration).await?;
            let pending = Pending::new(revert::new_id()?, restoration, applied.clone());
            revert::arm(revert, &pending, folder).await?;
        }
        if let Err(error) = self.load(nft, folder, &transaction, source).await {
            // What did not come about needs no way back.
            if self.revert.is_some() {
                revert::disarm(folder).await?;
            }
            return Err(error);
        }
        Ok(changed)
    }

    async fn load(
        &self,
        nft: &Nft,
        folder: &Folder,
        transaction: &str,
        source: String,
    ) -> Result<(), NftError> {
        folder.set_reverted(false)?;
        nft.load(transaction).await?;
        let listing = self::listing(nft).await?.unwrap_or_default();
        let applied = Applied::new(source, self.ruleset.outline(), listing);
        folder.set_applied(Some(&applied))
    }
}

/// Deletes the table, and with it the way back of a change that nobody confirmed.
pub async fn remove(nft: &Nft, folder: &Folder) -> Result<Removed, NftError> {
    let _lock = folder.lock()?;
    if folder.pending()?.is_some() {
        revert::disarm(folder).await?;
    }
    let there = listing(nft).await?.is_some();
    if there {
        nft.load(&firewall::removal()).await?;
    }
    folder.set_applied(None)?;
    folder.set_reverted(false)?;
    Ok(if there {
        Removed::Table
    } else {
        Removed::Nothing
    })
}

/// Makes these ports the ones that leases hold open.
pub async fn open_leased(
    nft: &Nft,
    folder: &Folder,
    ports: &[(crate::ports::Port, u64)],
) -> Result<(), NftError> {
    let _lock = folder.lock()?;
    nft.load(&firewall::lease_ports(ports)).await
}

/// The table in its normal form.
pub(super) async fn listing(nft: &Nft) -> Result<Option<String>, NftError> {
    let listing = nft.listing().await?;
    Ok(listing.map(|text| firewall::normal(&text)))
}

/// How the table came to be as it is.
pub(super) fn loaded<'a>(listing: Option<&str>, applied: Option<&'a Applied>) -> Loaded<'a> {
    match (listing, applied) {
        (None, _) => Loaded::Absent,
        (Some(listing), Some(applied)) if applied.listing == listing => {
            Loaded::Known(&applied.outline)
        }
        (Some(_), _) => Loaded::Unknown,
    }
}
