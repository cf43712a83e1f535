package upstream

import (
	"math"
	"sync"
	"time"
)

// latency is a histogram of what lies less than a minute back: two halves of 30 s each, of which the older goes when the newer is full.
// Buckets grow by a fifth, so that a quantile is right within a tenth.
type latency struct {
	mu     sync.Mutex
	begun  time.Time // of halves[0]
	halves [2]histogram
}

type histogram struct {
	buckets [buckets]uint32
	total   uint32
}

const (
	buckets      = 80 // from 0.1 ms to over three minutes
	half         = 30 * time.Second
	firstBucket  = 100 * time.Microsecond
	growth       = 1.2
	leastSamples = 20 // fewer don't make a percentile
)

var logGrowth = math.Log(growth)

func bucketOf(d time.Duration) int {
	if d <= firstBucket {
		return 0
	}
	return min(int(math.Log(float64(d)/float64(firstBucket))/logGrowth)+1, buckets-1)
}

func (l *latency) observe(d time.Duration) {
	i := bucketOf(d)
	l.mu.Lock()
	defer l.mu.Unlock()
	l.turn()
	l.halves[0].buckets[i]++
	l.halves[0].total++
}

// turn begins a new half when the current one is over.
func (l *latency) turn() {
	now := time.Now()
	switch age := now.Sub(l.begun); {
	case age >= 2*half:
		l.halves = [2]histogram{}
	case age >= half:
		l.halves[0], l.halves[1] = histogram{}, l.halves[0]
	default:
		return
	}
	l.begun = now
}

// quantile is the upper edge of the bucket that q of the samples lie in or below.
func (l *latency) quantile(q float64) (time.Duration, bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.turn()
	total := l.halves[0].total + l.halves[1].total
	if total < leastSamples {
		return 0, false
	}
	rank := uint32(math.Ceil(q * float64(total)))
	seen := uint32(0)
	for i := range buckets {
		if seen += l.halves[0].buckets[i] + l.halves[1].buckets[i]; seen >= rank {
			return time.Duration(float64(firstBucket) * math.Pow(growth, float64(i))), true
		}
	}
	return 0, false
}
