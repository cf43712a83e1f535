package server

import (
	"net/http"
	"strconv"
	"time"

	"github.com/labstack/echo/v4"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/sortie-run/sortie/host"
)

// metrics are what Prometheus reads. Their labels are the names of plugins, their versions and our own codes: nothing that a caller or an
// upstream chooses, so there are as many series as there are versions, and those of a plugin go with it.
type metrics struct {
	registry       *prometheus.Registry
	invocations    *prometheus.CounterVec
	duration       *prometheus.HistogramVec
	fetches        *prometheus.CounterVec
	fetchDurations *prometheus.HistogramVec
}

// answeredCode is the code of what didn't fail.
const answeredCode = "ok"

func newMetrics(build string, stats func() host.Stats) *metrics {
	m := &metrics{
		registry: prometheus.NewRegistry(),
		invocations: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "sortie_invocations_total", Help: "Invocations that are over, by the code that they failed with; ok where the plugin answered.",
		}, []string{"plugin", "version", "code"}),
		duration: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "sortie_invocation_duration_seconds", Help: "From an invocation's arrival to its end.",
			Buckets: []float64{.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30, 60, 300},
		}, []string{"plugin"}),
		fetches: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "sortie_fetches_total", Help: "Fetches that are over, by the code that they failed with; ok where there was a response.",
		}, []string{"plugin", "code"}),
		fetchDurations: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "sortie_fetch_duration_seconds", Help: "From a fetch's call until its body was read, waits and attempts included.",
			Buckets: []float64{.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30, 60},
		}, []string{"plugin"}),
	}
	gauge := func(name, help string, value func(host.Stats) float64) prometheus.Collector {
		return prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: name, Help: help}, func() float64 { return value(stats()) })
	}
	m.registry.MustRegister(
		m.invocations, m.duration, m.fetches, m.fetchDurations,
		gauge("sortie_queue_depth", "Invocations that wait for their turn.", func(s host.Stats) float64 { return float64(s.Queued) }),
		gauge("sortie_slots_in_use", "Invocations that run.", func(s host.Stats) float64 { return float64(s.InUse) }),
		gauge("sortie_memory_used_bytes", "Taken of process.memory.", func(s host.Stats) float64 { return float64(s.Memory) }),
	)
	info := prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "sortie_build_info", Help: "1; the label says what runs."}, []string{"version"})
	info.WithLabelValues(build).Set(1)
	m.registry.MustRegister(info)
	return m
}

// meters are a version's metrics, looked up once.
type meters struct {
	answered       prometheus.Counter
	duration       prometheus.Observer
	fetched        prometheus.Counter
	fetchDurations prometheus.Observer
}

func (m *metrics) of(v *version) *meters {
	return &meters{
		answered:       m.invocations.WithLabelValues(v.plugin, strconv.Itoa(v.stored.Number), answeredCode),
		duration:       m.duration.WithLabelValues(v.plugin),
		fetched:        m.fetches.WithLabelValues(v.plugin, answeredCode),
		fetchDurations: m.fetchDurations.WithLabelValues(v.plugin),
	}
}

// count takes an invocation that is over.
func (m *metrics) count(v *version, r *host.Report) {
	if v.deleted.Load() {
		return // it would come back, and stay
	}
	known := v.meters.Load()
	if known == nil {
		known = m.of(v)
		v.meters.Store(known)
	}
	if r.Code == "" {
		known.answered.Inc()
	} else {
		m.invocations.WithLabelValues(v.plugin, strconv.Itoa(v.stored.Number), r.Code).Inc()
	}
	known.duration.Observe(r.Total.Seconds())
	for i := range r.Fetches {
		if code := string(r.Fetches[i].Code); code == "" {
			known.fetched.Inc()
		} else {
			m.fetches.WithLabelValues(v.plugin, code).Inc()
		}
		known.fetchDurations.Observe(r.Fetches[i].Elapsed.Seconds())
	}
	if v.deleted.Load() { // meanwhile: what was just counted may have brought its series back
		m.forgetVersion(v.plugin, v.stored.Number)
	}
}

// forget drops a plugin's series.
func (m *metrics) forget(plugin string) {
	labels := prometheus.Labels{"plugin": plugin}
	m.invocations.DeletePartialMatch(labels)
	m.duration.DeletePartialMatch(labels)
	m.fetches.DeletePartialMatch(labels)
	m.fetchDurations.DeletePartialMatch(labels)
}

// forgetVersion drops the series of a version that was pruned.
func (m *metrics) forgetVersion(plugin string, number int) {
	m.invocations.DeletePartialMatch(prometheus.Labels{"plugin": plugin, "version": strconv.Itoa(number)})
}

// showMetrics answers GET /metrics.
func (s *Server) showMetrics(c echo.Context) error {
	if !callerOf(c).includesAll() {
		return host.NewError(codeForbidden, "The metrics are of all plugins: this needs a token for all of them (plugins *), or the role admin.")
	}
	c.Response().Header().Set("Cache-Control", "no-store")
	s.metricsHandler.ServeHTTP(c.Response(), c.Request())
	return nil
}

func metricsHandler(m *metrics) http.Handler {
	return promhttp.HandlerFor(m.registry, promhttp.HandlerOpts{MaxRequestsInFlight: metricsReaders, Timeout: metricsTime})
}

// metricsReaders is how many may read the metrics at once, metricsTime how long gathering them may take.
const (
	metricsReaders = 4
	metricsTime    = 10 * time.Second
)
