package files

import (
	"archive/tar"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/sortie-run/sortie/server/store"
)

// A backup is a tar of the store's files under the names that they have in its directory, but for the lock and tmp, and at last an entry that
// says how many they are. It's of one moment: what it holds is linked into tmp while nothing can change, which takes no time and no room,
// and written from there.

// backupEnd is the name of the last entry. Without it a backup is one that was cut off.
const backupEnd = "backup.json"

// endOfBackup is what the last entry holds.
type endOfBackup struct {
	Format int       `json:"format"` // 1
	Files  int       `json:"files"`
	Time   time.Time `json:"time"`
}

// Backup writes all that the store holds to w, as it is when it's called. Changes go on meanwhile. Nothing in it is readable that isn't
// in the directory: tokens are hashed and secrets sealed.
func (s *Store) Backup(ctx context.Context, w io.Writer) error {
	dir, names, err := s.freeze(ctx)
	defer func() { _ = os.RemoveAll(dir) }() // the next Open would
	if err != nil {
		return fmt.Errorf("back up the store: %w", err)
	}
	archive := tar.NewWriter(w)
	for _, name := range names {
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := appendFile(archive, filepath.Join(dir, name), name); err != nil {
			return fmt.Errorf("back up the store: %w", err)
		}
	}
	end, err := json.Marshal(endOfBackup{Format: 1, Files: len(names), Time: time.Now().UTC()})
	if err == nil {
		err = archive.WriteHeader(&tar.Header{Name: backupEnd, Mode: 0o600, Size: int64(len(end))})
	}
	if err == nil {
		_, err = archive.Write(end)
	}
	return errors.Join(err, archive.Close())
}

// freeze makes a folder of links to all files as they are. Records are replaced whole and blobs never written to; the log's last file
// is, at its end, so that one is copied.
func (s *Store) freeze(ctx context.Context) (dir string, names []string, err error) {
	s.write.Lock()
	defer s.write.Unlock()
	if err := s.reading(ctx, func() {}); err != nil {
		return "", nil, err
	}
	if err := s.log.flush(); err != nil {
		return "", nil, err
	}
	dir, err = os.MkdirTemp(filepath.Join(s.dir, tmpDir), "backup-*")
	if err != nil {
		return "", nil, err
	}
	for _, top := range []string{auditDir, blobsDir, pluginsDir, "tokens" + recordSuffix, "secrets" + recordSuffix} {
		err = filepath.WalkDir(filepath.Join(s.dir, top), func(path string, e fs.DirEntry, err error) error {
			if errors.Is(err, fs.ErrNotExist) || err == nil && e.IsDir() {
				return nil
			}
			if err != nil {
				return err
			}
			name, err := filepath.Rel(s.dir, path)
			if err != nil || !inBackup(filepath.ToSlash(name)) {
				return err // not ours
			}
			names = append(names, name)
			return freezeFile(path, filepath.Join(dir, name), path == s.log.written())
		})
		if err != nil {
			return dir, nil, err
		}
	}
	slices.Sort(names)
	return dir, names, nil
}

func freezeFile(from, to string, written bool) error {
	if err := os.MkdirAll(filepath.Dir(to), 0o700); err != nil {
		return err
	}
	if !written && os.Link(from, to) == nil {
		return nil
	}
	data, err := os.ReadFile(from) // the log's; or of a file system without links
	if err != nil {
		return err
	}
	return os.WriteFile(to, data, 0o600)
}

func appendFile(archive *tar.Writer, path, name string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return err
	}
	head := &tar.Header{Name: filepath.ToSlash(name), Mode: 0o600, Size: info.Size(), ModTime: info.ModTime().Truncate(time.Second)}
	if err := archive.WriteHeader(head); err != nil {
		return err
	}
	_, err = io.Copy(archive, f)
	return err
}

// inBackup reports whether a file of that name, with slashes, belongs to a store. Nothing else is written, and nothing else taken.
func inBackup(name string) bool {
	folder, file := "", name
	if i := strings.LastIndexByte(name, '/'); i >= 0 {
		folder, file = name[:i], name[i+1:]
	}
	record, isRecord := strings.CutSuffix(file, recordSuffix)
	switch folder {
	case "":
		return file == "tokens"+recordSuffix || file == "secrets"+recordSuffix
	case pluginsDir:
		return isRecord && store.ValidName(record)
	case auditDir:
		number, isLog := strings.CutSuffix(file, auditSuffix)
		return isLog && len(number) == 20 && strings.Trim(number, "0123456789") == ""
	default:
		return store.ValidDigest("sha256:"+file) && folder == blobsDir+"/sha256/"+file[:2]
	}
}

// Limits of what a restore takes: a record of 10,000 versions with a manifest of 256 KiB each would be larger than that, and isn't one
// that a server could have.
const (
	maxRecord      = 1 << 30
	maxRestoreFile = 1 << 20
)

// Restore makes a store in dir, which mustn't be there or must be empty, of a backup. It's checked whole, each module by its digest, before it takes
// its place: an error leaves dir as it was.
func Restore(ctx context.Context, dir string, r io.Reader) (err error) {
	dir = filepath.Clean(dir)
	entries, err := os.ReadDir(dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("restore: %w", err)
	}
	if len(entries) > 0 {
		return fmt.Errorf("restore: %s isn't empty: move what is there away first", dir)
	}
	if err := os.MkdirAll(filepath.Dir(dir), 0o700); err != nil {
		return fmt.Errorf("restore: %w", err)
	}
	fresh, err := os.MkdirTemp(filepath.Dir(dir), ".restore-*")
	if err != nil {
		return fmt.Errorf("restore: %w", err)
	}
	defer func() { err = errors.Join(err, os.RemoveAll(fresh)) }()
	if err := extract(ctx, fresh, r); err != nil {
		return fmt.Errorf("restore: %w", err)
	}
	if err := verify(ctx, fresh); err != nil {
		return fmt.Errorf("restore: %w", err)
	}
	if err := syncFolders(fresh); err != nil {
		return fmt.Errorf("restore: %w", err)
	}
	_ = os.Remove(dir) // an empty one
	if err := os.Rename(fresh, dir); err != nil {
		return fmt.Errorf("restore: %w", err)
	}
	return syncDir(filepath.Dir(dir))
}

// extract writes an archive's files, in which the names and sizes may be anybody's.
func extract(ctx context.Context, dir string, r io.Reader) error {
	archive := tar.NewReader(r)
	for n := 0; ; n++ {
		head, err := archive.Next()
		if err != nil {
			return fmt.Errorf("this isn't a backup, or not all of it: %w", err)
		}
		for key := range head.PAXRecords {
			if strings.HasPrefix(key, "GNU.sparse.") { // whose few bytes would be written as many
				return fmt.Errorf("this isn't a backup: %.80q is a sparse file", head.Name)
			}
		}
		switch {
		case head.Name == backupEnd:
			return checkEnd(archive, n)
		case ctx.Err() != nil:
			return ctx.Err()
		case head.Typeflag != tar.TypeReg || !inBackup(head.Name):
			return fmt.Errorf("this isn't a backup: it holds %.80q", head.Name)
		case head.Size > maxRecord || n > maxRestoreFile:
			return fmt.Errorf("the backup is too large: %.80q has %d bytes", head.Name, head.Size)
		}
		if err := writeNew(filepath.Join(dir, filepath.FromSlash(head.Name)), archive); err != nil {
			return err
		}
	}
}

func checkEnd(r io.Reader, files int) error {
	var end endOfBackup
	data, err := io.ReadAll(io.LimitReader(r, 4096))
	if err == nil {
		err = json.Unmarshal(data, &end)
	}
	if err != nil || end.Format != 1 || end.Files != files {
		return fmt.Errorf("the backup's end says that it has %d files, in format %d; %d came: %w", end.Files, end.Format, files, cmp.Or(err, store.ErrCorrupt))
	}
	return nil
}

func writeNew(path string, r io.Reader) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return err
	}
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600) // the same name twice is an error
	if err != nil {
		return err
	}
	_, err = io.Copy(f, r)
	if err == nil {
		err = f.Sync()
	}
	return errors.Join(err, f.Close())
}

// syncFolders makes the names in a folder and below it durable.
func syncFolders(dir string) error {
	return filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if err == nil && e.IsDir() {
			err = syncDir(path)
		}
		return err
	})
}

// verify opens what was extracted, and reads every module that a version names.
func verify(ctx context.Context, dir string) (err error) {
	s, err := Open(dir)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.Close(), os.Remove(filepath.Join(dir, lockFile))) }()
	plugins, err := s.List(ctx)
	if err != nil {
		return err
	}
	for _, p := range plugins {
		for _, v := range p.Versions {
			if _, err := s.Blob(ctx, v.Digest); err != nil {
				return fmt.Errorf("version %d of plugin %q: %w", v.Number, p.Name, err)
			}
		}
	}
	return nil
}
