/*
  What octopus-backup needs on SQL Server, and why. Run it as an administrator (sysadmin), in sqlcmd mode
  (sqlcmd -i, or "SQLCMD Mode" in Management Studio) after setting the variables below. It can be run again at
  any time: everything is made only where it is missing. Tested with no real server yet: read it before use.

  Two logins, because taking backups is an everyday right and restoring is not:
    octopus_backup    backs up, marks and counts; cannot change a row of Octopus and cannot create a database.
                      So it may not run RESTORE VERIFYONLY, which needs CREATE ANY DATABASE: its backups are
                      verified by size, ETag and hash only, and their verifications say so. Grant it that right
                      where SQL Server's own check is worth more than the separation.
    octopus_restore   creates databases from backups; used only while somebody restores. A login that may
                      CREATE ANY DATABASE can restore any backup that it can read, so its password is kept
                      apart (or the login disabled: ALTER LOGIN … DISABLE) until it is needed.

  Neither gets ALTER ANY CREDENTIAL: that right is server-wide and would let its holder point other
  credentials elsewhere. An administrator makes and renews the credentials of section 5.

  Sections, to be run apart where somebody wants only one of them; each begins with a line "-- SECTION":
    1 server        logins and rights on the instance
    2 msdb          reading the history of backups and restores
    3 database      users and rights in one Octopus database          (run once per database)
    4 marker-schema the table of recovery points in one Octopus database  (run once per database)
    5 credential    for BACKUP … TO URL only
*/

-- Variables, to be edited or given on the command line (sqlcmd -v …):
--   Database        the Octopus database, for sections 3 and 4
--   BackupPassword, RestorePassword
--   ContainerUrl    https://ACCOUNT.blob.core.windows.net/landing (before SQL Server 2025) or …/data (2025 on)
--   ContainerSas    a SAS of that container: read, write, create, list; without the leading question mark

-- SECTION 1 server ------------------------------------------------------------------------------------------
USE [master];
GO
IF SUSER_ID(N'octopus_backup') IS NULL
    CREATE LOGIN [octopus_backup] WITH PASSWORD = N'$(BackupPassword)', DEFAULT_DATABASE = [master];
GO
IF SUSER_ID(N'octopus_restore') IS NULL
    CREATE LOGIN [octopus_restore] WITH PASSWORD = N'$(RestorePassword)', DEFAULT_DATABASE = [master];
GO
-- The progress of a statement is read by a second session (sys.dm_exec_requests), and a session that an
-- earlier run left behind is looked for (sys.dm_exec_sessions). On SQL Server 2022 and later,
-- VIEW SERVER PERFORMANCE STATE is enough and says less about others.
GRANT VIEW SERVER STATE TO [octopus_backup];
GRANT VIEW SERVER STATE TO [octopus_restore];
GO
-- Names, places and sizes of a database's files (sys.master_files), for the number of stripes, and so that a
-- restore can move the files out of each other's way.
GRANT VIEW ANY DEFINITION TO [octopus_backup];
GRANT VIEW ANY DEFINITION TO [octopus_restore];
GO
-- RESTORE of a database that does not exist; whoever restores it owns it, so later steps need nothing more.
-- An in-place restore takes the tail of the log and overwrites: for as long as it takes, add the login to
-- db_owner of that database and to the server role dbcreator.
GRANT CREATE ANY DATABASE TO [octopus_restore];
GO

-- SECTION 2 msdb --------------------------------------------------------------------------------------------
-- LSNs, sizes and identities of backups are read from msdb, never guessed. Reading is all that is needed: the
-- server itself writes these tables.
USE [msdb];
GO
IF USER_ID(N'octopus_backup') IS NULL
    CREATE USER [octopus_backup] FOR LOGIN [octopus_backup];
GO
IF USER_ID(N'octopus_restore') IS NULL
    CREATE USER [octopus_restore] FOR LOGIN [octopus_restore];
GO
GRANT SELECT ON OBJECT::dbo.backupset TO [octopus_backup];
GRANT SELECT ON OBJECT::dbo.backupmediafamily TO [octopus_backup];
GRANT SELECT ON OBJECT::dbo.restorehistory TO [octopus_backup];
GRANT SELECT ON OBJECT::dbo.logmarkhistory TO [octopus_backup];
GRANT SELECT ON OBJECT::dbo.backupset TO [octopus_restore];
GRANT SELECT ON OBJECT::dbo.backupmediafamily TO [octopus_restore];
GRANT SELECT ON OBJECT::dbo.restorehistory TO [octopus_restore];
GO

-- SECTION 3 database ----------------------------------------------------------------------------------------
USE [$(Database)];
GO
IF USER_ID(N'octopus_backup') IS NULL
    CREATE USER [octopus_backup] FOR LOGIN [octopus_backup];
GO
-- BACKUP DATABASE and BACKUP LOG; gives no right to read or to restore.
ALTER ROLE [db_backupoperator] ADD MEMBER [octopus_backup];
GO
-- Rows of the Octopus_* tables are counted, the agents' ids and the migration history are read. Octopus adds
-- tables with its releases, so the role is granted and not table by table. Where that is too much, grant
-- SELECT on each Octopus_* table and on __EFMigrationsHistory instead, and again after each release.
ALTER ROLE [db_datareader] ADD MEMBER [octopus_backup];
GO
-- Optional: exact row counts of a recovery point (otherwise they are approximate). It costs space in tempdb
-- and some work per changed row, so it is the DBA's decision; remove the two dashes to allow it.
-- ALTER DATABASE [$(Database)] SET ALLOW_SNAPSHOT_ISOLATION ON;

-- SECTION 4 marker-schema -----------------------------------------------------------------------------------
-- A mark lands only in the log of a database that its transaction changes; one row per recovery point is that
-- change. A schema of its own keeps it out of the way of Octopus' migrations. After a restore, the newest row
-- proves which point was reached.
USE [$(Database)];
GO
IF SCHEMA_ID(N'octopus_backup') IS NULL
    EXEC (N'CREATE SCHEMA octopus_backup');
GO
IF OBJECT_ID(N'octopus_backup.RecoveryPoint', N'U') IS NULL
    CREATE TABLE octopus_backup.RecoveryPoint (
        MarkName nvarchar(32) NOT NULL CONSTRAINT PK_RecoveryPoint PRIMARY KEY,
        PointId nvarchar(26) NOT NULL,
        MarkedAt datetime2(3) NOT NULL,
        VectorSide nvarchar(4000) NOT NULL
    );
GO
-- SECTION 4b marker-rights ----------------------------------------------------------------------------------
-- INSERT sets the mark; SELECT and the shared table locks of the exact count come with db_datareader. Rows
-- are never changed or deleted, so neither right is given.
GRANT SELECT, INSERT ON OBJECT::octopus_backup.RecoveryPoint TO [octopus_backup];
GO

-- SECTION 5 credential --------------------------------------------------------------------------------------
-- BACKUP … TO URL finds its SAS by the container's address. Renew it before it expires:
-- ALTER CREDENTIAL [https://…] WITH IDENTITY = 'SHARED ACCESS SIGNATURE', SECRET = '…';
-- With SQL Server 2022 CU17 or later on an Azure VM (or 2025 through Azure Arc) a managed identity needs no
-- secret at all: WITH IDENTITY = 'Managed Identity'.
USE [master];
GO
IF NOT EXISTS (SELECT 1 FROM sys.credentials WHERE name = N'$(ContainerUrl)')
    CREATE CREDENTIAL [$(ContainerUrl)]
        WITH IDENTITY = 'SHARED ACCESS SIGNATURE', SECRET = '$(ContainerSas)';
GO
