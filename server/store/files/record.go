package files

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/sortie-run/sortie/server/store"
)

// recordFormat is the version of the records' JSON. Format 1, which had no events, is read too. A store written by a later, incompatible
// edition is refused.
const recordFormat = 2

// header is what every record begins with. Event is the change that made it: the log may lack it, if the process was killed between
// the two, and gets it from here.
type header struct {
	Format int          `json:"format"`
	Event  *store.Event `json:"event,omitempty"`
}

func (h *header) check() error {
	if h.Format < 1 || h.Format > recordFormat {
		return fmt.Errorf("format %d, this program reads up to %d", h.Format, recordFormat)
	}
	return nil
}

// pluginRecord is one plugin as its file holds it. One with Removed is left by a process that was killed while it deleted the plugin.
type pluginRecord struct {
	header
	Removed bool `json:"removed,omitempty"`
	store.Plugin
}

type tokensRecord struct {
	header
	Tokens []store.Token `json:"tokens"`
}

type secretsRecord struct {
	header
	Secrets []store.Secret `json:"secrets"`
}

const recordSuffix = ".json"

func (s *Store) recordPath(name string) string {
	return filepath.Join(s.dir, pluginsDir, name+recordSuffix)
}

// commit makes a change: the record, then what readers see, then the log. h is the record's header. The caller holds s.write.
func (s *Store) commit(ctx context.Context, path string, record any, h *header, e *store.Event, publish func()) error {
	if err := s.log.flush(); err != nil { // the last change's event, which couldn't be written then
		return fmt.Errorf("write the audit log: %w", err)
	}
	h.Format, h.Event = recordFormat, e
	data, err := json.MarshalIndent(record, "", "  ")
	if err != nil {
		return fmt.Errorf("encode the record: %w", err)
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	renamed, err := s.replace(path, data)
	if !renamed {
		return fmt.Errorf("write the record: %w", err)
	}
	// Even if syncing the folder failed, this is what a reader of the directory sees now.
	s.mu.Lock()
	publish()
	s.mu.Unlock()
	// If the log can't be written the change is made nevertheless, and its event is safe in the record. No other is made before it's in the log.
	_ = s.log.add(*e)
	if err != nil {
		return fmt.Errorf("write the record: %w", err)
	}
	return nil
}

// readRecords reads every record in the directory, and gives the log the event that it lacks.
func (s *Store) readRecords() error {
	entries, err := os.ReadDir(filepath.Join(s.dir, pluginsDir))
	if err != nil {
		return fmt.Errorf("read the store: %w", err)
	}
	s.records = make(map[string]*store.Plugin, len(entries))
	var made []store.Event
	var removed []string
	for _, e := range entries {
		name, ok := strings.CutSuffix(e.Name(), recordSuffix)
		if !ok || e.IsDir() {
			continue // not ours; leave it alone
		}
		r, err := s.readPlugin(name)
		if err != nil {
			return err
		}
		if r.Event != nil {
			made = append(made, *r.Event)
		}
		if r.Removed {
			removed = append(removed, s.recordPath(name))
		}
	}
	var tokens tokensRecord
	if err := read(s.tokensPath(), &tokens, &tokens.header); err != nil {
		return err
	}
	var secrets secretsRecord
	if err := read(s.secretsPath(), &secrets, &secrets.header); err != nil {
		return err
	}
	s.tokens, s.secrets = tokens.Tokens, secrets.Secrets
	for _, h := range []header{tokens.header, secrets.header} {
		if h.Event != nil {
			made = append(made, *h.Event)
		}
	}
	if err := s.log.recover(made); err != nil {
		return err
	}
	for _, path := range removed { // now that the log has them
		if err := os.Remove(path); err != nil {
			return fmt.Errorf("clean the store: %w", err)
		}
	}
	return nil
}

// readPlugin reads a plugin's record into s.records, unless it says that the plugin was removed.
func (s *Store) readPlugin(name string) (*pluginRecord, error) {
	path := s.recordPath(name)
	r := new(pluginRecord)
	if err := read(path, r, &r.header); err != nil {
		return nil, err
	}
	if r.Removed {
		return r, nil
	}
	err := r.Check()
	if r.Name != name {
		err = fmt.Errorf("it names the plugin %.80q", r.Name)
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w: %w", path, store.ErrCorrupt, err)
	}
	s.records[name] = &r.Plugin
	return r, nil
}

// read decodes a record; one that isn't there leaves it as it is.
func read(path string, record any, h *header) error {
	data, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("read the store: %w", err)
	}
	err = json.Unmarshal(data, record)
	if err == nil {
		err = h.check()
	}
	if err != nil {
		return fmt.Errorf("%s: %w: %w", path, store.ErrCorrupt, err)
	}
	return nil
}
