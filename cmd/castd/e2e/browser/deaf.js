// Runs in a page before its own scripts: the machine has no microphone.
navigator.mediaDevices.getUserMedia = async () => { throw new DOMException('Requested device not found', 'NotFoundError'); };
