package server

import (
	"reflect"
	"strings"
	"sync"

	"github.com/sortie-run/sortie/host"
	"github.com/sortie-run/sortie/host/fetch"
)

// reports are those of the last invocations, in memory. They're kept as the host made them: what an invocation pays is the
// counting of its bytes, and a lock for a moment. Whoever asks for one pays for the JSON.
type reports struct {
	mu   sync.Mutex
	byID map[string]*host.Report
	kept *fair[*host.Report]
}

func newReports(bytes, count int64) *reports {
	r := &reports{byID: map[string]*host.Report{}}
	r.kept = newFair(bytes, count, func(gone *host.Report) { delete(r.byID, gone.ID) })
	return r
}

// add keeps the report, which nobody may change any more; not if its plugin was deleted meanwhile.
func (r *reports) add(v *version, report *host.Report) {
	// These may be parts of the request's first line, and would keep all of it in memory.
	report.Method, report.Path = strings.Clone(report.Method), strings.Clone(report.Path)
	size := reportSize(report)
	if size > reportMost { // no guest is known that gets there: the host bounds all that it records
		report.Fetches, report.Logs = nil, nil
		size = reportSize(report)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	// Asked for under the lock: the version is gone before forget is called, so a report is either refused here or removed there.
	if v.deleted.Load() || size > reportMost {
		return
	}
	r.byID[report.ID] = report
	r.kept.put(v.plugin, report, size)
}

// find returns the report, or nil. It mustn't be changed.
func (r *reports) find(id string) *host.Report {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.byID[id]
}

// forget drops the reports of a plugin that was deleted.
func (r *reports) forget(plugin string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.kept.drop(plugin)
}

var (
	sizeOfReport   = int64(reflect.TypeFor[host.Report]().Size())
	sizeOfRecord   = int64(reflect.TypeFor[fetch.Record]().Size())
	sizeOfExchange = int64(reflect.TypeFor[fetch.Exchange]().Size())
	sizeOfState    = int64(reflect.TypeFor[fetch.StateAt]().Size())
	sizeOfField    = int64(reflect.TypeFor[fetch.Field]().Size())
	sizeOfLine     = int64(reflect.TypeFor[host.LogLine]().Size())
	sizeOfBudget   = int64(reflect.TypeFor[host.Budget]().Size())
)

// reportPlace is what the store itself needs for a report: the map's entry, the queue's, and what the allocator rounds up.
const reportPlace = 256

// reportSize is the memory that a report holds, as closely as lengths tell: texts that several records share count each time.
func reportSize(r *host.Report) int64 {
	n := sizeOfReport + reportPlace + texts(r.ID, r.Plugin, r.Method, r.Path, r.Code, r.Detail)
	n += int64(cap(r.Fetches))*sizeOfRecord + int64(cap(r.Logs))*sizeOfLine + int64(cap(r.Budget))*sizeOfBudget
	for i := range r.Fetches {
		f := &r.Fetches[i]
		n += texts(f.Method, f.URL, f.Message, f.Rule) + int64(cap(f.Exchanges))*sizeOfExchange + int64(cap(f.States))*sizeOfState
		for j := range f.Exchanges {
			x := &f.Exchanges[j]
			n += texts(x.Method, x.URL, x.Rule, x.Protocol) + fieldsSize(x.RequestHeader) + fieldsSize(x.ResponseHeader)
		}
	}
	for i := range r.Logs {
		n += texts(r.Logs[i].Message)
	}
	return n
}

func fieldsSize(fields []fetch.Field) int64 {
	n := int64(cap(fields)) * sizeOfField
	for i := range fields {
		n += texts(fields[i].Name, fields[i].Value)
	}
	return n
}

func texts(all ...string) (n int64) {
	for _, s := range all {
		n += int64(len(s))
	}
	return n
}
