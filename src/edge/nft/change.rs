//! Applying and removing.

use super::error::NftError;
use super::folder::{AppliedRules, Folder, PendingChange};
use super::kept::{Keep, KeptRules, Rules};
use super::revert::{self, Revert};
use super::run::Nft;
use crate::edge::firewall::{self, Loaded};

/// A request to load these rules.
#[derive(Debug)]
pub struct RulesChange<'a> {
    pub rules: &'a Rules,
    pub lasting: Lasting,
}

/// How long a change lasts.
#[derive(Debug)]
pub enum Lasting {
    /// Until it is undone, unless it is confirmed.
    UntilConfirmed(Revert),
    /// Over a reboot too.
    Kept,
    /// Until the next boot, which loads what it would have loaded before.
    ThisTime,
}

/// The result of applying.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Changed {
    /// Nothing: these rules are loaded already.
    Nothing,
    /// There was no table.
    Made,
    /// The rules changed; counters and remembered sources were kept.
    Updated,
    /// Another program had changed the table, so it was replaced.
    Replaced,
}

/// The result of removing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Removed {
    Nothing,
    Table,
}

impl RulesChange<'_> {
    /// Checks the rules, starts the process that can undo them if requested, then loads them in one
    /// transaction.
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
            // A change that failed needs no undo.
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

/// Before an unconfirmed change: records what a boot loads until it is confirmed. Returns whether that is
/// nothing and was not recorded before.
fn mark(keep: &Keep, applied: Option<&AppliedRules>) -> Result<bool, NftError> {
    // An unreadable file counts as missing, and is written again.
    if let Ok(Some(_)) = keep.read() {
        return Ok(false);
    }
    let before = applied.map_or(KeptRules::Nothing, |applied| {
        KeptRules::Rules(applied.rules.clone())
    });
    keep.write(&before)?;
    Ok(before == KeptRules::Nothing)
}

/// Deletes the table, the pending undo of an unconfirmed change, and the rules saved for boot.
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

/// Sets the ports that leases hold open. Nothing else writes to their set, so this needs neither the folder
/// nor its lock.
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

/// The origin of the loaded table.
pub(super) fn loaded<'a>(listing: Option<&str>, applied: Option<&'a AppliedRules>) -> Loaded<'a> {
    match (listing, applied) {
        (None, _) => Loaded::Absent,
        (Some(listing), Some(applied)) if applied.listing == listing => {
            Loaded::Known(&applied.rules.outline)
        }
        (Some(_), _) => Loaded::Unknown,
    }
}
