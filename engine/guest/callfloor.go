package guest

import (
	"context"
	"encoding/json"
	"errors"
	"slices"
	"time"

	"github.com/castd/castd/engine"
)

const (
	// maxNews is how many notices and lists of messages wait for a channel; of more the oldest are dropped, which CallDropped counts.
	maxNews = 128
	// moderating bounds how long a guest's order may take.
	moderating = 10 * time.Second
)

// chatMessage tells a guest what was written.
type chatMessage struct {
	Type     string               `json:"type"`
	Messages []engine.ChatMessage `json:"messages"`
}

// noticeMessage tells a guest something about himself.
type noticeMessage struct {
	Type    string `json:"type"`
	Code    string `json:"code"`
	Message string `json:"message"` // one sentence
}

// notices are the sentences of codes that come without one.
var notices = map[string]string{
	engine.NewsMuted:   "You are muted by a moderator; raise your hand to ask for the word.",
	engine.NewsUnmuted: "You may speak.",
	engine.CodeTooMany: "This is too much at once; wait a little.",
}

// ask takes a message of the guest that is about the floor.
func (c *caller) ask(call engine.Call, w *wishMessage) {
	switch {
	case w.Type == "hand":
		call.Raise(w.Raised)
	case w.Type == "chat" && w.Text != "":
		call.Say(w.Text)
	case w.Type == "moderate":
		if c.moderates.Swap(true) { // one at a time
			c.news(&engine.CallNews{Code: engine.CodeTooMany})
			return
		}
		m := engine.Moderation{Verb: w.Verb, Who: w.Participant, Title: w.Title}
		c.session.spawn(func() {
			defer c.moderates.Store(false)
			c.moderate(call, m)
		})
	}
}

// moderate does what a guest wants as a moderator, and tells him where that is refused.
func (c *caller) moderate(call engine.Call, m engine.Moderation) {
	ctx, cancel := context.WithTimeout(c.session.ctx, moderating)
	defer cancel()
	err := call.Moderate(ctx, m)
	if user, ok := errors.AsType[*engine.UserError](err); ok {
		c.notice(user.Code, user.Message)
	} else if err != nil {
		c.session.log.Debug("moderate", "error", err)
	}
}

// notice notes something to tell the guest.
func (c *caller) notice(code, message string) { c.queueNews(noticeMessage{"notice", code, message}) }

// news notes what is to be told once.
func (c *caller) news(n *engine.CallNews) {
	if message, ok := notices[n.Code]; ok {
		c.notice(n.Code, message)
	}
	if len(n.Chat) > 0 {
		c.queueNews(chatMessage{"chat", n.Chat})
	}
}

func (c *caller) queueNews(message any) {
	c.mu.Lock()
	if len(c.untold) >= maxNews {
		c.untold = append(c.untold[:0], c.untold[1:]...)
		c.session.service.count.callDropped.Add(1)
	}
	c.untold = append(c.untold, message)
	c.mu.Unlock()
	c.rouse()
}

// sendNews tells what waits, in order, once there is a channel.
func (c *caller) sendNews() {
	for {
		c.mu.Lock()
		channel := c.channel
		if channel == nil || len(c.untold) == 0 || channel.BufferedAmount() > maxUnsent {
			c.mu.Unlock()
			return
		}
		next := c.untold[0]
		c.untold = slices.Delete(c.untold, 0, 1)
		c.mu.Unlock()
		text, err := json.Marshal(next)
		if err == nil {
			_, err = channel.WriteDataChannel(text, true)
		}
		if err != nil {
			c.session.log.Debug("tell news", "error", err)
			return
		}
	}
}
