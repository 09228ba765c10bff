// Who is in a room, as events: castd tells all participants whenever something about them has changed.

// Roster makes events of what has changed.
export class Roster {
  #known = new Map();

  constructor(participants) {
    this.#known = byId(participants);
  }

  // change returns what is different now, as { type, participant }.
  change(participants) {
    const now = byId(participants);
    const events = [];
    for (const [id, before] of this.#known) {
      if (!now.has(id)) events.push({ type: 'participant.left', participant: before });
    }
    for (const [id, participant] of now) {
      const before = this.#known.get(id);
      if (before === undefined) events.push({ type: 'participant.joined', participant });
      else if (JSON.stringify(before) !== JSON.stringify(participant)) events.push({ type: 'participant.changed', participant });
    }
    this.#known = now;
    return events;
  }
}

function byId(participants) {
  return new Map(participants.map((p) => [p.id, p]));
}
