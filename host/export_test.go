package host

import "github.com/sortie-run/sortie/host/internal/image"

// UseImages has plugins that are loaded from now on use another method than the system's best.
func (r *Runtime) UseImages(m image.Method) { r.images = m }

// Unstrained has invocations admitted even if the processors are what's short, as they are while many tests run at once.
func (r *Runtime) Unstrained() { r.gate.stop() }

// Unfit is why instances of the plugin aren't made from an image; "": they are.
func (p *Plugin) Unfit() string { return p.what.unfit }

// Idle is how many instances wait.
func (p *Plugin) Idle() int {
	l, ok := p.supply.(*pool)
	if !ok {
		return 0
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.idle)
}

// Trim lets go of instances that weren't needed lately, as happens by itself every trimEach.
func (p *Plugin) Trim() { p.supply.trim() }

// Retaken is how often the plugin's image was taken anew.
func (p *Plugin) Retaken() int {
	l, ok := p.supply.(*pool)
	if !ok {
		return 0
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.growth.retaken
}
