//! Applying and removing.

use super::error::NftError;
use super::folder::{AppliedRules, Folder, PendingChange};
use super::kept::{Keep, KeptRules, Rules};
use super::revert::{self, Revert};
use super::run::Nft;
use crate::edge::firewall::{self, Loaded};

/// A wish to have these rules loaded.
#[derive(Debug)]
pub struct RulesChange<'a> {
    pub rules: &'a Rules,
    pub lasting: Lasting,
}

/// How long a change is meant to last.
#[derive(Debug)]
pub enum Lasting {
    /// Until it is undone, unless somebody confirms.
    UntilConfirmed(Revert),
    /// Over a reboot too.
    Kept,
    /// While the box runs; what a start loads stays what it is.
    ThisTime,
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

impl RulesChange<'_> {
    /// Checks the rules first, arms the way back if asked to, then loads them in one transaction.
    pub async fn apply(
        &self,
        nft: &Nft,
        folder: &Folder,
        keep: &Keep,
    ) -> Result<Changed, NftError> {
        let _lock = folder.lock()?;
        revert::none_pending(folder).await?;
        let listing = listing(nft).await?;
        let applied = folder.applied()?;
        let loaded = loaded(listing.as_deref(), applied.as_ref());
        if let (Loaded::Known(_), Some(applied)) = (loaded, &applied)
            && applied.rules.text == self.rules.text
        {
            self.keep(keep)?;
            return Ok(Changed::Nothing);
        }
        let transaction = firewall::load(&self.rules.text, &self.rules.outline, loaded);
        nft.check(&transaction).await?;
        let changed = match loaded {
            Loaded::Absent => Changed::Made,
            Loaded::Known(_) => Changed::Updated,
            Loaded::Unknown => Changed::Replaced,
        };
        match &self.lasting {
            Lasting::UntilConfirmed(revert) => {
                let restoration = firewall::restoration(listing.as_deref());
                nft.check(&restoration).await?;
                let marked = mark(keep, applied.as_ref())?;
                let rules = self.rules.clone();
                let pending = PendingChange::new(revert::new_id()?, restoration, applied, rules);
                let done = self
                    .load_guarded(nft, folder, &transaction, revert, &pending)
                    .await;
                if done.is_err() && marked {
                    keep.remove()?;
                }
                done?;
            }
            Lasting::Kept | Lasting::ThisTime => self.load(nft, folder, &transaction).await?,
        }
        self.keep(keep)?;
        Ok(changed)
    }

    async fn load_guarded(
        &self,
        nft: &Nft,
        folder: &Folder,
        transaction: &str,
        revert: &Revert,
        pending: &PendingChange,
    ) -> Result<(), NftError> {
        revert::arm(revert, pending, folder).await?;
        let done = self.load(nft, folder, transaction).await;
        if done.is_err() {
            // What did not come about needs no way back.
            revert::disarm(folder).await?;
        }
        done
    }

    async fn load(&self, nft: &Nft, folder: &Folder, transaction: &str) -> Result<(), NftError> {
        folder.set_reverted(false)?;
        nft.load(transaction).await?;
        let listing = self::listing(nft).await?.unwrap_or_default();
        folder.set_applied(Some(&AppliedRules::new(self.rules.clone(), listing)))
    }

    fn keep(&self, keep: &Keep) -> Result<(), NftError> {
        if !matches!(self.lasting, Lasting::Kept) {
            return Ok(());
        }
        let kept = keep.write(&KeptRules::Rules(self.rules.clone()));
        kept.map_err(|error| NftError::NotKept(Box::new(error)))
    }
}

/// Before a change that nobody has confirmed: what a start is to load until somebody does. Whether it is
/// nothing, and was not so before.
fn mark(keep: &Keep, applied: Option<&AppliedRules>) -> Result<bool, NftError> {
    // One that cannot be read is as good as none, and written anew.
    if let Ok(Some(_)) = keep.read() {
        return Ok(false);
    }
    let before = applied.map_or(KeptRules::Nothing, |applied| {
        KeptRules::Rules(applied.rules.clone())
    });
    keep.write(&before)?;
    Ok(before == KeptRules::Nothing)
}

/// Deletes the table, and with it the way back of a change that nobody confirmed, and what a start
/// would load.
pub async fn remove(nft: &Nft, folder: &Folder, keep: &Keep) -> Result<Removed, NftError> {
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
    keep.remove()?;
    Ok(if there {
        Removed::Table
    } else {
        Removed::Nothing
    })
}

/// Makes these ports the ones that leases hold open. Nobody else writes to their set, so this needs
/// neither the folder nor its lock.
pub async fn open_leased(
    nft: &Nft,
    ports: &[(crate::edge::ports::Port, u64)],
) -> Result<(), NftError> {
    nft.load(&firewall::lease_ports(ports)).await
}

/// The table in its normal form.
pub(super) async fn listing(nft: &Nft) -> Result<Option<String>, NftError> {
    let listing = nft.listing().await?;
    Ok(listing.map(|text| firewall::normal(&text)))
}

/// How the table came to be as it is.
pub(super) fn loaded<'a>(listing: Option<&str>, applied: Option<&'a AppliedRules>) -> Loaded<'a> {
    match (listing, applied) {
        (None, _) => Loaded::Absent,
        (Some(listing), Some(applied)) if applied.listing == listing => {
            Loaded::Known(&applied.rules.outline)
        }
        (Some(_), _) => Loaded::Unknown,
    }
}
